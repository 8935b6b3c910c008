/** What a classic model makes of texts, and what reads one: all that using one loads. */
import { checkArguments } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import { isBlank, TEXTS, type TextOrPair } from "../pair.ts";
import { TASKS } from "../tasks/index.ts";
import type { Labelled } from "../tasks/predictions.ts";
import { scoreRows } from "./logistic.ts";
import type { ClassicParts } from "./parts.ts";

export { readClassic } from "./read.ts";

/** See `ClassicModel.logits`. */
export async function logitsOf(
  { tfidf, weights, labels: own }: ClassicParts,
  texts: readonly TextOrPair[],
  labels: readonly string[],
): Promise<Float32Array> {
  const scores = scoreRows(await tfidf.transform(texts), weights);
  const outputs = scores.length / texts.length;
  const logits = new Float32Array(texts.length * labels.length);
  for (const [label, name] of labels.entries()) {
    const at = own.indexOf(name);
    const output = at - (own.length - outputs);
    for (let row = 0; row < texts.length; row++)
      logits[row * labels.length + label] = at < 0 ? -Infinity : output < 0 ? 0 : scores[row * outputs + output]!;
  }
  return logits;
}

/** See `ClassicModel.unlike`. */
export async function unlike(parts: ClassicParts, texts: string | readonly TextOrPair[]): Promise<boolean[]> {
  const list = checkTexts(parts, texts);
  return list.map((await import("./unlike.ts")).recognizeUnlike(parts));
}

/** What its task makes of texts. Throws ConfigError for a method of another task, and for pairs in place of texts. */
export async function answer(
  parts: ClassicParts,
  method: "classify" | "score",
  texts: string | readonly TextOrPair[],
): Promise<Labelled[]> {
  const list = checkTexts(parts, texts);
  const { objective, labels } = parts;
  const predicts = TASKS[objective].predicts!;
  if (method !== predicts.method)
    throw new ConfigError("wrong-task", "the model is for another task", { hint: `use ${predicts.method}` });
  const results = predicts.of!(await logitsOf(parts, list, labels), { labels, settings: {} });
  return results.map((result, i) => (isBlank(list[i]!) ? predicts.blank() : result));
}

/** Texts as a list. Throws ConfigError for pairs in place of texts. */
function checkTexts({ pairs }: ClassicParts, texts: string | readonly TextOrPair[]): readonly TextOrPair[] {
  checkArguments({ texts }, { texts: TEXTS });
  const list = [texts].flat();
  const isPair = pairs !== undefined;
  const other = list.find((text) => (typeof text !== "string") !== isPair);
  if (other === undefined) return list;
  throw new ConfigError("wrong-text-count", `the model reads ${isPair ? "pairs of texts" : "single texts"}`, {
    expected: isPair ? "[first, second]" : "a string",
    found: JSON.stringify(other),
  });
}
