/** bench.html: whether this browser's devices are right, and how fast they are: doctor's report of them. */
import { signal } from "@preact/signals";
import { render } from "preact";
import { useRef } from "preact/hooks";
import { asJson, type DoctorReport } from "../../bench/doctor.ts";
import { deviceBlocks, findingBlocks } from "../../bench/doctor-blocks.ts";
import { LowrankError } from "../../errors.ts";
import { Blocks } from "../../views/components.tsx";
import { ErrorPlace } from "../page/shared/error.tsx";
import { offerFile } from "../page/shared/offer.ts";
import type { ErrorReport } from "../protocol.ts";
import { measure, TITLES } from "./measure.ts";

const status = signal("Takes a few minutes. Keep this tab in front.");
const error = signal<ErrorReport | null>(null);
/** Measured so far; a list of its own after each measurement. */
const reports = signal<readonly DoctorReport[]>([]);
/** What is downloaded; empty while there is nothing, or more is measured. */
const json = signal("");
const isRunning = signal(false);
/** The most seconds for a device: doctor's. */
const seconds = signal(180);

async function run(): Promise<void> {
  isRunning.value = true;
  error.value = null;
  json.value = "";
  try {
    const found = await measure(seconds.value, {
      onWork: (text) => {
        status.value = text;
      },
      onReports: (found) => {
        reports.value = found;
      },
      onError: (failure) => {
        error.value = describeError(failure);
      },
    });
    json.value = asJson(found);
    status.value = "Done.";
  } catch (failure) {
    error.value = describeError(failure);
    status.value = "";
  }
  isRunning.value = false;
}

function describeError(thrown: unknown): ErrorReport {
  if (!(thrown instanceof LowrankError)) return { name: "Error", summary: String(thrown) };
  const { cause: _, ...details } = thrown.details;
  return { name: thrown.name, code: thrown.code, summary: thrown.message.split("\n")[0]!, ...details };
}

/** There are no figures. */
const TABLES = { draw: () => null };

function Bench() {
  return (
    <>
      <DeviceCard />
      <div class="results">
        {reports.value.map((report) => (
          <section key={report.device.kind} class="card" aria-label={TITLES[report.device.kind]}>
            <h2>{TITLES[report.device.kind]}</h2>
            <Blocks blocks={[...deviceBlocks(report), ...findingBlocks(report)]} medium={TABLES} />
          </section>
        ))}
      </div>
    </>
  );
}

function DeviceCard() {
  const text = useRef<HTMLTextAreaElement>(null);
  const details = useRef<HTMLDetailsElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(json.value);
      status.value = "Copied.";
    } catch {
      details.current!.open = true;
      text.current!.select();
      status.value = "The browser does not let the page copy: copy the selected text.";
    }
  };
  return (
    <section class="card" aria-labelledby="device-title">
      <h2 id="device-title">This browser</h2>
      <p class="help">
        As <code>lowrank doctor</code> does.
      </p>
      <label for="seconds">Most seconds for a device</label>
      <input
        id="seconds"
        type="number"
        min={1}
        value={seconds}
        onInput={({ currentTarget }) => {
          seconds.value = Math.max(1, currentTarget.valueAsNumber || 1);
        }}
      />
      <button id="run" class="primary" type="button" disabled={isRunning} onClick={() => void run()}>
        Run
      </button>
      <p id="status" class="help" role="status">
        {status}
      </p>
      <ErrorPlace id="error" report={error.value} />
      <div class="row">
        <button id="download" type="button" disabled={json.value === ""} onClick={download}>
          Download as JSON
        </button>
        <button id="copy" type="button" disabled={json.value === ""} onClick={() => void copy()}>
          Copy
        </button>
      </div>
      <details ref={details}>
        <summary>JSON</summary>
        <textarea ref={text} rows={12} readOnly spellcheck={false} aria-label="JSON" value={json} />
      </details>
    </section>
  );
}

const download = () => offerFile(new Blob([json.value], { type: "application/json" }), "lowrank-doctor.json");

render(<Bench />, document.querySelector("main")!);
