/** The settings of a run, as the form has them. */
import { signal } from "@preact/signals";
import { DEFAULTS } from "../../../train/options.ts";
import type { Values } from "../field-help.ts";

/** The last valid value of each field. */
export const values = signal<Values>({
  ...DEFAULTS,
  ...{ device: "auto", split: "default", balance: false, dedupe: false, maxLength: 0, epochs: 1 },
});

/** Sets a field as if the value had been typed. Returns whether there is such a field, and such a choice. */
export function set(key: string, value: unknown): boolean {
  values.value = { ...values.value, [key]: value };
  return true;
}

/** Sets a field, and moves the focus to it: that of a button that is gone afterwards. */
export function correct(key: keyof Values, value: string | number): void {
  set(key, value);
}
