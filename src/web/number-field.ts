/** A field for a number, which says what it takes where it holds something else. */
import { h } from "./dom.ts";

export interface NumberField {
  label: string;
  help?: string;
  min?: number;
  max?: number;
  /** 1: whole numbers. */
  step?: 1 | "any";
  /** Whether 0 is not enough. */
  positive?: boolean;
}

/** The field `id`, which begins with `value`; `changed` hears every change, and whether it makes no sense. */
export function numberField(
  id: string,
  value: number,
  field: NumberField,
  changed: (value: number, isWrong: boolean) => void,
): HTMLElement {
  const { label, help, min, max, step = "any", positive = false } = field;
  const fault = h("p", { id: `${id}-fault`, class: "wrong" });
  const input = h("input", {
    id,
    type: "number",
    inputmode: step === "any" ? "decimal" : "numeric",
    value,
    required: true,
    min,
    max,
    step,
    "aria-describedby": [help ? `${id}-help` : "", fault.id].join(" ").trim(),
  });
  input.addEventListener("input", () => {
    const isWrong = !input.validity.valid || (positive && input.valueAsNumber === 0);
    input.setAttribute("aria-invalid", String(isWrong));
    fault.textContent = isWrong ? wordsFor(field) : "";
    changed(input.valueAsNumber, isWrong);
  });
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    input,
    help ? h("p", { id: `${id}-help`, class: "help" }, help) : null,
    fault,
  );
}

function wordsFor({ min = 0, max, step, positive }: NumberField): string {
  const what = step === 1 ? "A whole number" : "A number";
  if (positive) return `${what} above 0${max === undefined ? "" : `, at most ${max}`}`;
  return max === undefined ? `${what} of ${min} or more` : `${what} from ${min} to ${max}`;
}
