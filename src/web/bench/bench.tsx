/** bench.html: how fast this browser trains, and whether its GPU is right. */
import { signal } from "@preact/signals";
import { render } from "preact";
import { useRef } from "preact/hooks";
import { attentionTable, productTable, shaderBlocks } from "../../bench/blocks.ts";
import { LowrankError } from "../../errors.ts";
import { Blocks } from "../../views/components.tsx";
import { ErrorPlace } from "../page/parts/error.tsx";
import type { ErrorReport } from "../protocol.ts";
import { deviceFigures, stepBlocks } from "./blocks.ts";
import { measure, type Result } from "./measure.ts";

const status = signal("Takes a few minutes. Keep this tab in front.");
const error = signal<ErrorReport | null>(null);
/** Measured so far; an object of its own after each measurement. */
const result = signal<Result | null>(null);
/** What is copied; empty while there is nothing, or more is measured. */
const json = signal("");
const isRunning = signal(false);

async function run(): Promise<void> {
  isRunning.value = true;
  error.value = null;
  json.value = "";
  try {
    const found = await measure({
      onWork: (text) => {
        status.value = text;
      },
      onResult: (found) => {
        result.value = { ...found };
      },
      onError: (failure) => {
        error.value = describeError(failure);
      },
    });
    json.value = JSON.stringify(found, null, 1);
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
        <section class="card" aria-labelledby="step-title">
          <h2 id="step-title">A training step</h2>
          {result.value && <Blocks blocks={stepBlocks(result.value)} medium={TABLES} />}
        </section>
        <section class="card" aria-labelledby="products-title">
          <h2 id="products-title">Matrix products</h2>
          {result.value && (
            <Blocks
              blocks={[productTable(result.value.devices), attentionTable(result.value.devices)]}
              medium={TABLES}
            />
          )}
        </section>
        {result.value && result.value.devices[0]!.shaders.length > 0 && (
          <section class="card" aria-labelledby="shaders-title">
            <h2 id="shaders-title">Is it right?</h2>
            <Blocks blocks={shaderBlocks(result.value.devices[0]!.shaders)} medium={TABLES} />
          </section>
        )}
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
      <h2 id="device-title">This device</h2>
      <button id="run" class="primary" type="button" disabled={isRunning} onClick={() => void run()}>
        Run
      </button>
      <p id="status" class="help" role="status">
        {status}
      </p>
      <ErrorPlace id="error" report={error.value} />
      <dl id="device" class="figures">
        {result.value &&
          deviceFigures(result.value).map(([term, value]) => (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
      <div class="row">
        <button id="copy" type="button" disabled={json.value === ""} onClick={() => void copy()}>
          Copy as JSON
        </button>
      </div>
      <details ref={details}>
        <summary>JSON</summary>
        <textarea ref={text} rows={12} readOnly spellcheck={false} aria-label="JSON" value={json} />
      </details>
    </section>
  );
}

render(<Bench />, document.querySelector("main")!);
