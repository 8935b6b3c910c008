/** The rules by which the threshold of a class is chosen on the validation set. */
import { ConfigError } from "../errors.ts";

/** The highest F1, or the other one as high as possible where precision or recall is at least `least`. */
export type ThresholdRule = { measure: "f1" } | { measure: "precision" | "recall"; least: number };

/** What a threshold is chosen by; "none": the more probable class is predicted. Throws ConfigError for other texts. */
export function parseThreshold(text: unknown): ThresholdRule | null {
  if (text === "none") return null;
  if (text === "f1") return { measure: "f1" };
  const [, measure, share] = /^(precision|recall)=(0?\.\d+|1|1\.0+)$/.exec(String(text)) ?? [];
  if (measure && Number(share) > 0) return { measure: measure as "precision" | "recall", least: Number(share) };
  throw new ConfigError("unknown-value", "threshold is invalid", {
    expected: "none, f1, precision=P or recall=R with a share above 0 and up to 1, such as precision=.95",
    found: String(text),
  });
}
