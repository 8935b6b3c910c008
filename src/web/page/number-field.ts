/** A number input that shows its valid range when its value is invalid. */
import { describeRange, isWithin, type NumberRange } from "../../number-range.ts";
import { h } from "./dom.ts";

export interface NumberField extends NumberRange {
  label: string;
  help?: string;
}

/** Creates the field `id` with an initial value; `changed` receives every change and whether it is invalid. */
export function numberField(
  id: string,
  value: number,
  field: NumberField,
  changed: (value: number, isWrong: boolean) => void,
): HTMLElement {
  const { label, help, min, max, whole } = field;
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
    h("label", { for: id }, label),
    input,
    help ? h("p", { id: `${id}-help`, class: "help" }, help) : null,
    message,
  );
}
