/** Labels that are probably wrong, one after the other: right, wrong or another one, by keys. */
import { useEffect, useRef } from "preact/hooks";
import { joinPair } from "../../../pair.ts";
import { Select } from "../shared/controls.tsx";
import { report } from "./data.ts";
import { back, changed, DROP, review, say, useCorrections } from "./review.ts";

export function Review() {
  const [part, other] = [useRef<HTMLElement>(null), useRef<HTMLSelectElement>(null)];
  // Its keys work at once.
  const focus = () => part.current?.focus();
  useEffect(focus, []);
  const { rows, next } = review.value!;
  const row = rows[next];
  const use = (
    <button type="button" onClick={useCorrections}>
      {changed.value > 0 ? `Use ${changed.value === 1 ? "one correction" : `${changed.value} corrections`}` : "Close"}
    </button>
  );
  if (!row)
    return (
      <div id="review" class="part">
        <p>{rows.length === 0 ? "No label looks wrong." : "That was the last one."}</p>
        <div class="row">{use}</div>
      </div>
    );
  const { text, given, suggested } = row;
  const keys: Record<string, () => void> = {
    r: () => say(given),
    w: () => say(suggested),
    o: () => other.current!.focus(),
    x: () => say(DROP),
    b: back,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const { ctrlKey, metaKey, altKey, key, target } = event;
    if (ctrlKey || metaKey || altKey || target instanceof HTMLSelectElement || !keys[key]) return;
    event.preventDefault();
    keys[key]();
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: its keys are those of its buttons
    <section id="review" ref={part} class="part" aria-label="Labels to review" tabIndex={0} onKeyDown={onKeyDown}>
      <p class="help">
        {next + 1} of {rows.length} rows whose label looks wrong, the worst first. Row {row.row}:
      </p>
      <blockquote dir="auto">{joinPair(text)}</blockquote>
      <p>
        Its label is <b dir="auto">{given}</b>. Likelier: <b dir="auto">{suggested}</b>
      </p>
      <div class="row">
        <button type="button" onClick={keys.r}>
          Right (r)
        </button>
        <button type="button" onClick={keys.w}>
          Wrong, it is {suggested} (w)
        </button>
        <label for="review-other">
          Other (o){" "}
          <Select
            id="review-other"
            field={other}
            value=""
            take={(label) => {
              say(label);
              focus();
            }}
            options={[["", "choose"], ...report.value!.labels.map((label) => [label, label] as const)]}
          />
        </label>
        <button type="button" onClick={keys.x}>
          Leave it out (x)
        </button>
        <button type="button" disabled={next === 0} onClick={back}>
          Back (b)
        </button>
        {use}
      </div>
    </section>
  );
}
