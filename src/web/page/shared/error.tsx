/** Errors in place: summary, details, hint, and buttons that fix them. */
import type { ComponentChildren, Ref } from "preact";
import { capital } from "../../../core/format.ts";
import { formatBytes } from "../../../plan/memory.ts";
import type { ErrorReport } from "../../protocol.ts";
import { asField } from "../train/field-list.ts";
import { inPageWords, sentence } from "./words.ts";

export interface Remedy {
  label: string;
  take: () => void;
}

type Settings = NonNullable<ErrorReport["remedy"]>["set"];

/** A button that applies settings known to fix the error. */
export function remedies(
  report: ErrorReport | null,
  set: (key: keyof Settings, value: string | number) => void,
): Remedy[] {
  const remedy = report?.remedy;
  if (!remedy) return [];
  const changes = Object.entries(remedy.set) as [keyof Settings, string | number][];
  const words = changes.map(([key, value]) => asField(key, String(value))).join(" and ");
  const needs = remedy.bytes === undefined ? "" : ` (needs ${formatBytes(remedy.bytes)})`;
  const take = () => {
    for (const [key, value] of changes) set(key, value);
  };
  return [{ label: `Set ${words}${needs}`, take }];
}

/** A button that reads a file in the encoding that it may have. */
export function readings({ encoding }: ErrorReport, read: (encoding: string) => void): Remedy[] {
  return encoding ? [{ label: `Read it as ${encoding}`, take: () => read(encoding) }] : [];
}

/** The place of an error, announced when it appears; null: no error. */
export function ErrorPlace(props: {
  id: string;
  report: ErrorReport | null;
  ways?: readonly Remedy[];
  place?: Ref<HTMLDivElement>;
  children?: ComponentChildren;
}) {
  return (
    <div id={props.id} role="alert" ref={props.place ?? null}>
      {props.report && <ErrorBox report={props.report} ways={props.ways ?? []} />}
      {props.children}
    </div>
  );
}

export function ErrorBox({ report, ways = [] }: { report: ErrorReport; ways?: readonly Remedy[] }) {
  const details = (["where", "expected", "found"] as const).filter((key) => report[key] !== undefined);
  return (
    <div class="error">
      <p class="summary">{capital(inPageWords(report.summary))}</p>
      {details.length > 0 && (
        <dl>
          {details.map((key) => (
            <div key={key}>
              <dt>{key}</dt>
              <dd>{inPageWords(report[key]!)}</dd>
            </div>
          ))}
        </dl>
      )}
      {report.hint && <p>{sentence(inPageWords(report.hint))}</p>}
      {ways.length > 0 && (
        <div class="row">
          {ways.map(({ label, take }) => (
            <button key={label} type="button" onClick={take}>
              {label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
