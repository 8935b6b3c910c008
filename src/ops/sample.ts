/**
 * The next token of each sequence, from its logits: the largest, or one that is drawn. Definitions and order are those
 * of transformers (generation/logits_process.py, 5.x): repetition penalty; then, unless the choice is greedy,
 * temperature, top-k, top-p. A draw is a function of the seed, the stream and the token's number in it, by Threefry as
 * dropout's masks are: both backends draw with the same number.
 */
import { numel, type Tensor } from "../core/tensor.ts";
import { encodeTable, entryWords, TABLE_ENTRIES, tableShape } from "./jobs.ts";
import { type Dispatch, defineKernel, dispatch } from "./kernel.ts";

/** How a row chooses. */
export const DRAW = {
  /** The sequence's row of `seen`. */
  slot: "u32",
  /** Where its id goes: the row of the next step. */
  to: "u32",
  /** The generator's key, and its counter. */
  seed: "u32",
  stream: "u32",
  number: "u32",
  /** The first so many ids are chosen from. */
  choices: "u32",
  /** Divides the logits; 0: the largest logit wins, the first of equals. */
  temperature: "f32",
  /** Samples from the k largest logits and those equal to the last of them; 0: all. */
  top_k: "u32",
  /** Samples from the fewest most likely tokens whose probabilities add up to this, the first of equals; 1: all. */
  top_p: "f32",
  /** Divides positive logits of tokens that are in `seen`, and multiplies negative ones; 1: off. */
  penalty: "f32",
} as const;

export type Draw = Record<keyof typeof DRAW, number>;

/** Added to the id of a logit that is not finite and that would win: the model or its input is damaged. */
export const NOT_FINITE = 0x80000000;

export const sampleKernel = defineKernel(
  "sample",
  { ids: "update u32", drawn: "update u32", seen: "update u32", logits: "update u32", draws: "read Job" },
  { rows: "u32", first: "u32", cols: "u32", words: "u32", step: "u32", room: "u32" },
  ({ rows, first }) => [Math.min(Math.max(rows - first, 0), TABLE_ENTRIES), 1, 1],
  "room, steps room, slots words, rows cols, 64 12",
  { preludes: ["threefry"], job: DRAW },
);

/** Tables of draws for so many rows. */
export const drawTables = (rows: number) => Math.ceil(rows / TABLE_ENTRIES);

/** The contents of the tables of draws. */
export function encodeDraws(draws: readonly Draw[]): Uint32Array {
  const words = new Uint32Array(drawTables(draws.length) * numel(tableShape(DRAW)));
  for (let at = 0; at < draws.length; at += TABLE_ENTRIES) {
    const some = draws.slice(at, at + TABLE_ENTRIES);
    words.set(encodeTable(DRAW, some), at * entryWords(DRAW));
  }
  return words;
}

interface SampleTensors {
  /** [S]: the last id of each sequence, the input of the next step. */
  ids: Tensor;
  /** [steps, S]: the ids of several steps, of which this one writes the row `slot`. */
  drawn: Tensor;
  /** [S, ceil(V / 32)]: the tokens of each slot's sequence as bits; written where there is a penalty. */
  seen: Tensor;
  /** [S, V]; as the choice proceeds, they become weights. */
  logits: Tensor;
  /** [tables, TABLE_ENTRIES, words of DRAW]. */
  draws: Tensor;
}

/** Chooses the next token of the step's `slots` rows. */
export function sample({ draws, ...tensors }: SampleTensors): Dispatch[] {
  const { ids, seen, logits } = tensors;
  const shape = tableShape(DRAW);
  return Array.from({ length: drawTables(logits.shape[0]!) }, (_, i) =>
    dispatch(
      sampleKernel,
      { ...tensors, draws: draws.view(`draws.${i}`, shape, i * numel(shape)) },
      {
        rows: "slots",
        first: i * TABLE_ENTRIES,
        cols: logits.shape[1]!,
        words: seen.shape[1]!,
        step: "slot",
        room: ids.shape[0]!,
      },
    ),
  );
}
