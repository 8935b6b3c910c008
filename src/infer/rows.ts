/** Texts as rows of batches, and their logits. */

import { textContext } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { pairSettings, readsPairs, type TextOrPair } from "../core/pair.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Engine } from "../engine/engine.ts";
import { InFlight } from "../engine/in-flight.ts";
import { targetLogits } from "../engine/targets.ts";
import type { AdapterMeta } from "../io/peft/adapter-meta.ts";
import type { Batch, Capacity } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { classifiedRow, readsTokens, type TaskConfig } from "../tasks/index.ts";

/** Texts a batch, of one adapter. */
const SEQUENCES = 16;

/** The rows of a batch, of texts of at most so many tokens. */
export const capacityFor = (longest: number): Capacity => ({
  tokens: Math.max(1024, 2 * longest),
  sequences: SEQUENCES,
});

/** The input of an adapter: the tokens of texts, at least one each. */
export interface Rows extends Reader {
  tokens: readonly Uint32Array[];
}

/** How an adapter reads rows. */
interface Reader {
  /** Tokens to which every row is filled up with `pad`; 0: none. */
  padTo: number;
  pad: number;
  task: TaskConfig;
}

/** Tokens to which every text is padded (0: none), and the longest text in tokens. */
export function textLengths({ settings }: AdapterMeta, spec: ModelSpec): { padTo: number; longest: number } {
  const context = textContext(spec.config, spec);
  const { maxLength = context, padTo = 0 } = settings as { maxLength?: number; padTo?: number };
  return { padTo, longest: Math.min(maxLength, context) };
}

/** The tokens of each text, or of each pair, at most `longest`; an empty text has none. Throws ConfigError. */
export async function encodeTexts(
  tokenizer: Tokenizer,
  texts: readonly TextOrPair[],
  longest: number,
  meta: Pick<AdapterMeta, "settings" | "base_fingerprint">,
): Promise<Uint32Array[]> {
  if (!pairSettings(meta) && texts.every((text) => typeof text === "string"))
    return texts.map((text) => tokenizer.encodeRow(text as string, longest));
  return encodePairs(tokenizer, texts, longest, meta);
}

/**
 * Calls `take` with the logits of each row, or of all of its tokens, in order: as many rows at a time as a batch holds.
 * A row is asked for when its batch is made.
 */
export async function computeRows<R extends { tokens: Uint32Array }>(
  engine: Engine,
  { padTo, pad, task }: Reader,
  all: Iterable<R> | AsyncIterable<R>,
  take: (row: R, logits: Float32Array) => void,
): Promise<void> {
  const { capacity } = engine.plan;
  const inFlight = new InFlight<() => void>(engine.answerTime());
  const arrive = async () => (await inFlight.next())();
  const run = async (rows: R[]) => {
    const batch = packRows({ tokens: rows.map(({ tokens }) => tokens), padTo, pad, task });
    engine.forward(batch);
    const logits = targetLogits(engine, batch);
    // A row has one target, or one for each of its tokens.
    const ends = batch.targets.length > rows.length ? batch.starts.subarray(1) : rows.map((_, b) => b + 1);
    const deliver = (found: Float32Array) => {
      let start = 0;
      for (const [b, row] of rows.entries()) {
        const end = ends[b]! * task.num_labels;
        take(row, found.subarray(start, end));
        start = end;
      }
    };
    inFlight.add(logits.then((found) => () => deliver(found)));
    while (inFlight.isFull) await arrive();
  };
  let rows: R[] = [];
  let width = 0;
  for await (const row of all) {
    const more = padTo || row.tokens.length;
    if (rows.length === capacity.sequences || (rows.length > 0 && width + more > capacity.tokens)) {
      await run(rows);
      [rows, width] = [[], 0];
    }
    rows.push(row);
    width += more;
  }
  if (rows.length > 0) await run(rows);
  while (inFlight.length > 0) await arrive();
}

export function packRows({ tokens: rows, padTo, pad, task }: Rows): Batch {
  const starts = new Uint32Array(rows.length + 1);
  rows.forEach((row, b) => {
    starts[b + 1] = starts[b]! + (padTo || row.length);
  });
  const ids = new Uint32Array(starts[rows.length]!).fill(pad);
  rows.forEach((row, b) => {
    ids.set(row, starts[b]!);
  });
  if (readsTokens(task)) return { ids, starts, rows: new Uint32Array(), targets: new Int32Array(ids.length) };
  return {
    ids,
    starts,
    rows: Uint32Array.from(rows, (row, b) => classifiedRow(task.pooling, starts[b]!, row.length, starts[b + 1]!)),
    targets: new Int32Array(rows.length),
  };
}

/** The tokens of each pair. Texts of an adapter that PEFT wrote may be single ones, too. Throws ConfigError. */
function encodePairs(
  tokenizer: Tokenizer,
  texts: readonly TextOrPair[],
  longest: number,
  meta: Pick<AdapterMeta, "settings" | "base_fingerprint">,
): Uint32Array[] {
  const trained = readsPairs(meta);
  return texts.map((text, i) => {
    const isPair = typeof text !== "string";
    if (trained !== undefined && trained !== isPair)
      throw new ConfigError("wrong-text-count", `the model reads ${trained ? "pairs of texts" : "single texts"}`, {
        where: `texts[${i}]`,
        expected: trained ? "[first, second]" : "a string",
        found: JSON.stringify(text),
      });
    return tokenizer.encodeRow(text, longest);
  });
}
