/** "Use it in your app": what can be downloaded of the shown run, and the code that uses it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { capital } from "../../../core/format.ts";
import type { Usage } from "../../../export/usage.ts";
import { ScrollArea } from "../../../views/components.tsx";
import type { ErrorReport, OtherForm, PageRun, Takeable, TakeReport, WantedForm } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { failureReport } from "../shared/client.ts";
import { bound } from "../shared/controls.tsx";
import { ErrorPlace } from "../shared/error.tsx";
import { inPageWords, megabytes } from "../shared/words.ts";
import { worker } from "../shared/worker.ts";
import { download, takeable } from "./take.ts";
import { view } from "./view.ts";

export function TakeCard() {
  const report = takeable.value;
  return (
    <section id="take" class="card" aria-labelledby="take-title" hidden={view.value !== "take"}>
      <h2 id="take-title">Use it in your app</h2>
      {report && ("error" in report ? <ErrorPlace id="take-error" report={report.error} /> : <Ways report={report} />)}
    </section>
  );
}

function Ways({ report: { page, adapterBytes, runBytes, usages } }: { report: TakeReport }) {
  const error = useSignal<ErrorReport | null>(null);
  const status = useSignal("");
  const isBusy = status.value === PREPARING;
  const prepare = async (work: () => Promise<void>) => {
    if (status.value === PREPARING) return;
    status.value = PREPARING;
    error.value = await work().then(() => null, failureReport);
    status.value = "";
  };
  const title = useSignal(page && "title" in page ? page.title : "");
  const offer = (what: Takeable | WantedForm, name: string, bytes: number, about: string) => {
    const take = () => prepare(() => download(shown.value!, what));
    return (
      <li>
        {/* Not `disabled`, which would lose the focus. */}
        <button
          type="button"
          data-take={typeof what === "string" ? what : what.kind}
          aria-disabled={isBusy}
          onClick={take}
        >
          {name}
        </button>
        <span>
          <strong>{megabytes(bytes)}</strong> {about}
        </span>
      </li>
    );
  };
  const inPeft = usages.at(-1)!.code !== null;
  return (
    <>
      <div id="take-body">
        <ul class="downloads">
          {page &&
            ("bytes" in page ? (
              <>
                {offer(
                  { kind: "page", dtype: null, title: title.value },
                  "One HTML file",
                  page.bytes,
                  `Opens with a double click and classifies: no server, no network.${shown.value!.record.results ? " Some messages of the test set are in it, to click." : ""}`,
                )}
                <li>
                  <label for="page-title">Title of the HTML file</label>
                  <input id="page-title" type="text" class="grow" dir="auto" {...bound(title)} />
                </li>
              </>
            ) : (
              <li>One HTML file: {page.refused}</li>
            ))}
          {offer(
            "adapter",
            "Adapter",
            adapterBytes,
            `${inPeft ? "In PEFT's format" : "For Lowrank alone"}, with a README.`,
          )}
          {runBytes !== null &&
            offer("run", "All files", runBytes, "The adapter, the settings, and tables of losses and predictions.")}
        </ul>
        <Forms prepare={prepare} />
        <p class="help">Code that uses the unpacked adapter:</p>
        {usages.map((usage) => (
          <Code
            key={usage.title}
            usage={usage}
            onCopy={() => {
              status.value = `Copied: ${usage.title}`;
            }}
          />
        ))}
      </div>
      <ErrorPlace id="take-error" report={error.value} />
      <p id="take-status" class="help" role="status">
        {status.value}
      </p>
    </>
  );
}

const PREPARING = "Preparing the file";

/** Exports for other programs. Only when it is opened, the code that makes them is loaded. */
function Forms(props: { prepare: (work: () => Promise<void>) => Promise<void> }) {
  const list = useSignal<ComponentChildren>(null);
  const open = async () => {
    list.value = <FormList {...props} />;
  };
  return (
    <details id="forms" name="usage" onToggle={open}>
      <summary>Other forms</summary>
      {list}
    </details>
  );
}

function Code({ usage: { title, text, code }, onCopy }: { usage: Usage; onCopy: () => void }) {
  return (
    <details name="usage">
      <summary>{title}</summary>
      <p class="help">{text}</p>
      {code !== null && (
        <>
          <ScrollArea label={`Code: ${title}`}>
            <pre>
              <code>{code}</code>
            </pre>
          </ScrollArea>
          <button type="button" onClick={() => navigator.clipboard.writeText(code).then(onCopy)}>
            Copy
          </button>
        </>
      )}
    </details>
  );
}

interface FormsProps {
  /** Shows that something is prepared, and why it failed; one at a time. */
  prepare: (work: () => Promise<void>) => Promise<void>;
}

function FormList({ prepare }: FormsProps) {
  const run = shown.value!;
  const list = useSignal<OtherForm[] | { error: ErrorReport } | null>(null);
  useEffect(() => {
    const asked = worker.forms(run.id).catch((reason) => ({ error: failureReport(reason) }));
    void asked.then((languages) => {
      list.value = languages;
    });
  }, []);
  const forms = list.value;
  if (!forms) return <p class="help">Looking what there is</p>;
  if ("error" in forms) return <ErrorPlace id="forms-error" report={forms.error} />;
  return (
    <ul class="downloads">
      {forms.map((form) => (
        <Form key={form.kind} run={run} form={form} prepare={prepare} />
      ))}
    </ul>
  );
}

function Form({ run, form, prepare }: FormsProps & { run: PageRun; form: OtherForm }) {
  const { kind, title, reader, about, choices, notes } = form;
  const take = (dtype: WantedForm["dtype"]) => prepare(() => download(run, { kind, dtype }));
  return (
    <li>
      <span>
        <strong>{title}</strong>, for {reader}: {about}. {notes.map((note) => `${capital(inPageWords(note))}. `)}
      </span>
      {choices.map(({ dtype, bytes }) => (
        <button
          key={dtype}
          type="button"
          data-form={dtype === null ? kind : `${kind} ${dtype}`}
          aria-label={[title, dtype ?? []].flat().join(", ")}
          onClick={() => take(dtype)}
        >
          {[dtype ?? "Download", bytes === null ? [] : megabytes(bytes)].flat().join(", ")}
        </button>
      ))}
    </li>
  );
}
