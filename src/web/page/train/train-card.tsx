/** The button that starts a run, what the run takes, and its settings. */
import { isLlama } from "../../../core/config.ts";
import { formatCompact, formatCount, formatDuration, formatShare } from "../../../core/format.ts";
import { takesSteps } from "../../../methods/index.ts";
import { formatBytes } from "../../../plan/memory.ts";
import { hasAdapter, type RunEstimate } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { askAgain } from "../shared/ask.ts";
import { Label, Select, Step, TextField } from "../shared/controls.tsx";
import { ErrorPlace, remedies } from "../shared/error.tsx";
import { goTo, usePart } from "../shared/scroll.ts";
import { busy } from "../shared/worker.ts";
import { type Field, GATED_TARGET_NAMES, MAIN, MORE, OFFERED_TARGETS, TARGET_NAMES, wantedIn } from "./field-list.ts";
import { correct, enter, values as entered, fieldState, isOffered, reset, visible } from "./fields.ts";
import { model } from "./model.ts";
import { Beginning, ModelFields } from "./model-part.tsx";
import { canStart, copyLink, estimate, linkError, linkNote, obstacle, start, startError } from "./setup.ts";

export function SettingFields({ id, fields }: { id: string; fields: readonly Field[] }) {
  return (
    <div id={id} class="fields">
      {fields
        .filter(({ key }) => visible.value.has(key))
        .map((field) => (
          <SettingField key={field.key} field={field} />
        ))}
    </div>
  );
}

function SettingField({ field }: { field: Field }) {
  const { key, label, help, why, kind, number, choices = [] } = field;
  const element = usePart<HTMLInputElement & HTMLSelectElement & HTMLFieldSetElement>(`field-${key}`, "nearest");
  const { shown, isInvalid } = fieldState(field);
  const id = `field-${key}`;
  const text = { id, label, why, help, field: element, text: String(shown) };
  const change = (text: string) => enter(field, text);
  switch (kind) {
    case "number":
    case "layers":
      return <TextField {...text} change={change} range={number} wrong={isInvalid && wantedIn(field)} />;
    case "choice":
      return (
        <div class={key === "mode" ? "field wide" : "field"}>
          <Label id={id} label={label} why={why} />
          <Select
            {...{ id, field: element, value: String(shown), take: change }}
            options={choices.filter(([value]) => isOffered(key, value))}
          />
        </div>
      );
    case "check":
      return (
        <div class="field check">
          <input
            id={id}
            ref={element}
            type="checkbox"
            checked={shown === true}
            onInput={({ currentTarget }) => enter(field, currentTarget.checked)}
          />
          <Label id={id} label={label} why={why} />
        </div>
      );
    case "targets": {
      const ticked = shown as readonly string[];
      const tick = (target: string, isTicked: boolean) =>
        enter(field, isTicked ? [...ticked, target] : ticked.filter((name) => name !== target));
      return (
        <fieldset class="field wide targets" id={id} ref={element}>
          <legend class="hidden">{label}</legend>
          <Label label={label} why={why} />
          {OFFERED_TARGETS.filter((target) => isOffered(key, target)).map((target) => (
            <label key={target}>
              <input
                type="checkbox"
                value={target}
                checked={ticked.includes(target)}
                onInput={({ currentTarget }) => tick(target, currentTarget.checked)}
              />
              {(model.value && isLlama(model.value.config) && GATED_TARGET_NAMES[target]) || TARGET_NAMES[target]}
            </label>
          ))}
          <p class="wrong">{isInvalid && wantedIn(field)}</p>
        </fieldset>
      );
    }
  }
}

export function TrainCard() {
  const button = usePart<HTMLButtonElement>("start");
  const [run, error] = [estimate.value, startError.value];
  const again = { label: "Try again", take: askAgain };
  return (
    <section id="train" class="card" aria-labelledby="train-title">
      <h2 id="train-title">
        <Step number={2} done={shown.value !== null && hasAdapter(shown.value)} /> Train
      </h2>
      <div class="row">
        <button id="start" ref={button} class="primary grow" type="button" disabled={!canStart.value} onClick={start}>
          {run ? `Train (about ${roughly(run.seconds)})` : "Train"}
        </button>
        <button id="link" type="button" title="A link to this page with these settings" onClick={copyLink}>
          Copy link
        </button>
      </div>
      <p id="link-done" class="help" role="status">
        {linkNote.value}
      </p>
      <p id="start-help" class="help">
        <Help />
      </p>
      <ErrorPlace id="link-error" report={linkError.value} />
      <ErrorPlace
        id="start-error"
        report={error}
        ways={error?.name === "WorkerError" ? [again] : remedies(error, correct)}
      />
      <p id="busy" class="help" role="status">
        {busy.value}
      </p>
      <ModelFields />
      <SettingFields id="fields" fields={MAIN} />
      <details id="advanced">
        <summary>More settings</summary>
        <Beginning />
        <SettingFields id="more-fields" fields={MORE} />
        <div class="row">
          <button id="reset" type="button" onClick={reset}>
            Reset
          </button>
        </div>
      </details>
    </section>
  );
}

/** The button's text, or why it cannot be pressed, with the way there. */
function Help() {
  const { text, part } = obstacle.value ?? {};
  if (text === undefined) return estimate.value ? describeEstimate(estimate.value) : "Looking at data and settings …";
  return (
    <>
      {text}{" "}
      {part && (
        <button type="button" class="link" onClick={() => goTo(part)}>
          Go there
        </button>
      )}
    </>
  );
}

function describeEstimate({ trainable, values, steps, bytes }: RunEstimate): string {
  // The base model's parameters, as its own line counts them, and the new ones of an adapter or a head.
  const base = Math.min(values, model.value!.values);
  const added = values > base ? ` and ${formatCompact(values - base)} new ones` : "";
  const whole = `${formatShare(trainable / values)} of the base model's ${formatCompact(base)}${added}`;
  if (!takesSteps(entered.value.mode))
    return `Fits ${formatCount(trainable)} parameters, ${whole}, and word counts to ${formatCount(steps)} messages, each read once, in ${formatBytes(bytes)} of memory.`;
  return `Trains ${formatCount(trainable)} parameters, ${whole}, in ${formatCount(steps)} ${steps === 1 ? "step" : "steps"} and ${formatBytes(bytes)} of memory.`;
}

/** A duration, as round as a guess is: "40 s", "3 min" */
function roughly(seconds: number): string {
  const unit = seconds < 60 ? 10 : 60;
  return formatDuration(Math.max(10, Math.round(seconds / unit) * unit)).replace(/ 00 s$/, "");
}
