/** The forms in which other programs read the shown run: loaded and asked for when the visitor opens their list. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { capital } from "../../../format.ts";
import type { ErrorReport, OtherForm, PageRun, WantedForm } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { failureReport } from "../shared/client.ts";
import { ErrorPlace } from "../shared/error.tsx";
import { inPageWords, megabytes } from "../shared/words.ts";
import { worker } from "../shared/worker.ts";
import { cardSections, download } from "./take.ts";

interface FormsProps {
  /** Shows that something is prepared, and why it failed; one at a time. */
  prepare: (work: () => Promise<void>) => Promise<void>;
}

export function FormList({ prepare }: FormsProps) {
  const run = shown.value!;
  const list = useSignal<OtherForm[] | { error: ErrorReport } | null>(null);
  useEffect(() => {
    const asked = cardSections(run)
      .then((sections) => worker.forms(run.id, sections))
      .catch((reason) => ({ error: failureReport(reason) }));
    void asked.then((found) => {
      list.value = found;
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
