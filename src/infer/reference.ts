/**
 * What a model gave for some texts when it was saved: an adapter has it, and loading compares it with what the model
 * gives on the device at hand. So one check covers weights, their layout, base model, tokenizer and kernels. The texts
 * are these, and never messages of the training data: no text of a user leaves in an adapter.
 */

import { checkKinds } from "../checks.ts";
import { concat } from "../concat.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Decoder } from "../engine/decoder.ts";
import type { Engine } from "../engine/engine.ts";
import type { Weights } from "../engine/weights.ts";
import { FormatError } from "../errors.ts";
import { type AdapterMeta, baseDtype } from "../io/peft/adapter-meta.ts";
import { type Adapter, META } from "../io/peft/peft.ts";
import { pairSettings } from "../pair.ts";
import type { ModelKind } from "./model-kind.ts";
import { computeRows, encodeTexts, type Rows, textLengths } from "./rows.ts";

/**
 * Short, of different lengths, and of scripts whose characters are several tokens. With others every adapter that was
 * saved before would be refused.
 */
const TEXTS = ["Is it open?", "Zürich – 3,50 € für 北京 🙂", "The parcel has arrived, but 17 cups in it are broken."];
const PAIRS = [
  [TEXTS[0]!, TEXTS[2]!],
  [TEXTS[1]!, TEXTS[0]!],
] as const;

/** Logits of a text, or losses of its tokens, that are kept: a model may have hundreds of classes. */
const MOST_OUTPUTS = 16;
/** Digits that are kept: as many as a float32 has. */
const DIGITS = 7;

/** The texts as rows, of at most `most` tokens. */
export async function referenceRows(
  tokenizer: Tokenizer,
  meta: Pick<AdapterMeta, "settings" | "task">,
  most: number,
): Promise<Pick<Rows, "tokens" | "pad" | "task">> {
  const tokens = await encodeTexts(tokenizer, pairSettings(meta) ? PAIRS : TEXTS, most, meta);
  return { tokens, pad: tokenizer.endOfText, task: meta.task };
}

/** The texts as a language model reads them: ids, and the next id of each. */
export function referenceDocuments(tokenizer: Tokenizer, most: number) {
  return TEXTS.map((text) => {
    const targets = tokenizer.encode(text, { addSpecialTokens: false }).subarray(0, most);
    return { targets, ids: shifted(tokenizer, targets) };
  });
}

/** The ids from which a text's tokens are predicted: the first from the token that separates documents. */
export function shifted({ beginOfText, endOfText }: Tokenizer, tokens: Uint32Array): Uint32Array {
  return Uint32Array.of(beginOfText ?? endOfText, ...tokens.subarray(0, -1));
}

/** What is kept of the logits [texts, outputs] of a classifier. */
export function keptLogits(logits: Float32Array, outputs: number): number[] {
  return rounded(logits.filter((_, i) => i % outputs < MOST_OUTPUTS));
}

/** What is kept of a language model's losses of the tokens of each text. */
export const keptLosses = (losses: readonly Float64Array[]): number[] =>
  rounded(losses.flatMap((some) => [...some.subarray(0, MOST_OUTPUTS)]));

const rounded = (values: Iterable<number>) => Array.from(values, (value) => Number(value.toPrecision(DIGITS)));

/** What a classifier gives for the texts now. */
export async function classifierOutputs(
  tokenizer: Tokenizer,
  engine: Engine,
  meta: AdapterMeta,
  most: number,
): Promise<number[]> {
  const { spec } = engine.plan;
  const { padTo } = textLengths(meta, spec);
  const rows = await referenceRows(tokenizer, meta, most);
  const logits: Float32Array[] = [];
  const all = rows.tokens.map((tokens) => ({ tokens }));
  await computeRows(engine, { ...rows, padTo }, all, (_, some) => logits.push(some));
  return keptLogits(concat(Float32Array, logits), spec.task.num_labels);
}

/** What a language model gives for the texts now. */
export async function languageModelOutputs(tokenizer: Tokenizer, engine: Decoder, most: number): Promise<number[]> {
  const losses: Float64Array[] = [];
  for (const { ids, targets } of referenceDocuments(tokenizer, most))
    losses.push(await engine.losses({ slot: 0, position: 0, ids }, targets));
  return keptLosses(losses);
}

/**
 * Largest error of an output, relative to it or to 1. Rounding gives some 1e-6 between CPU, CPU with fused
 * multiply-adds and WebGPU, whatever type the weights have; a graphics card is trusted with as much as this by its
 * check. The same weights in 8 bits instead of f32 give 2e-2, in 4 bits 2e-1, a gross fault 1.
 */
const TOLERANCE = 1e-3;

/**
 * Throws FormatError, and destroys the engine, unless a model gives what it gave when it was saved. Weights that are
 * rounded to another type than in training give something else, and are not compared.
 */
export async function verify<E extends Weights>(
  kind: ModelKind<E>,
  engine: E,
  { meta, reference }: Adapter,
): Promise<void> {
  const { dtype = "f32" } = engine.plan.spec;
  if (!reference || dtype !== baseDtype(meta)) return;
  const { maxLength, outputs } = reference;
  try {
    checkKinds(reference, { maxLength: "size", outputs: "numbers" }, META);
    compareOutputs(await kind.outputs(engine, meta, maxLength), outputs, meta.base_model);
  } catch (error) {
    engine.destroy();
    throw error;
  }
}

function compareOutputs(found: readonly number[], saved: readonly number[], base: string): void {
  const wrong = saved.findIndex((value, i) => {
    const isNear = Math.abs(found[i]! - value) <= TOLERANCE * Math.max(1, Math.abs(value));
    return !isNear;
  });
  if (wrong === -1 && found.length === saved.length) return;
  throw new FormatError("outputs-differ", "the model gives other results than when the adapter was saved", {
    expected: `${saved[wrong] ?? `${saved.length} numbers`} for a fixed text`,
    found: `${found[wrong] ?? `${found.length} numbers`}`,
    hint: `the adapter, its base model (${base}) or the program is damaged: copy them again`,
  });
}
