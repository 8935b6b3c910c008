/** A number input that shows its valid range when its value is invalid. */
import { describeRange, isWithin, type NumberRange } from "../../number-range.ts";
import { h } from "./dom.ts";

export interface NumberField extends NumberRange {
  label: string;
  /** A few words below the field: a unit, or what a special value means. */
  help?: string;
  /** What the setting does, behind a "?". */
  why?: string;
}

/** A label, and a "?" that toggles an explanation below it. `id`: the field that it labels; null: a group of fields. */
export function labelWithHelp(id: string | null, label: string, why: string | undefined): HTMLElement {
  const name = id === null ? h("span", {}, label) : h("label", { for: id }, label);
  if (why === undefined) return name;
  const text = h("p", { class: "why", hidden: true }, why);
  const button = h(
    "button",
    {
      id: id && `${id}-why`,
      type: "button",
      class: "ask",
      "aria-expanded": "false",
      "aria-label": `What is ${label}?`,
    },
    "?",
  );
  button.addEventListener("click", () => {
    text.hidden = !text.hidden;
    button.setAttribute("aria-expanded", String(!text.hidden));
  });
  return h("div", { class: "label" }, name, button, text);
}

/** Creates the field `id` with an initial value; `changed` receives every change and whether it is invalid. */
export function numberField(
  id: string,
  value: number,
  field: NumberField,
  changed: (value: number, isWrong: boolean) => void,
): HTMLElement {
  const { label, help, why, min, max, whole } = field;
  const message = h("p", { id: `${id}-error`, class: "wrong" });
  const input = h("input", {
    id,
    type: "number",
    inputmode: whole ? "numeric" : "decimal",
    value,
    required: true,
    min,
    max,
    step: whole ? 1 : "any",
    "aria-describedby": [help ? `${id}-help` : "", message.id].join(" ").trim(),
  });
  input.addEventListener("input", () => {
    const isWrong = !isWithin(input.valueAsNumber, field);
    input.setAttribute("aria-invalid", String(isWrong));
    message.textContent = isWrong ? `Enter ${describeRange(field)}.` : "";
    changed(input.valueAsNumber, isWrong);
  });
  return h(
    "div",
    { class: "field" },
    labelWithHelp(id, label, why),
    input,
    help ? h("p", { id: `${id}-help`, class: "help" }, help) : null,
    message,
  );
}
