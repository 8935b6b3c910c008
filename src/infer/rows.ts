/** Texts as rows of batches, and their logits. */
import { textContext } from "../config.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Engine } from "../engine/engine.ts";
import { InFlight } from "../engine/in-flight.ts";
import type { AdapterMeta } from "../io/adapter-meta.ts";
import type { Batch, Capacity } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { pairSettings, type TextOrPair } from "../pair.ts";
import { readsTokens, type TaskConfig } from "../tasks/index.ts";

/** Texts a batch, of one adapter. */
const SEQUENCES = 16;

/** What a batch holds, of texts of at most so many tokens. */
export const capacityFor = (longest: number): Capacity => ({
  tokens: Math.max(1024, 2 * longest),
  sequences: SEQUENCES,
});

/** What an adapter reads: the tokens of texts, at least one each. */
export interface Rows {
  tokens: readonly Uint32Array[];
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
    return texts.map((text) => tokenizer.encode(text).subarray(0, longest));
  const { encodePairs } = await import("./pairs.ts");
  return encodePairs(tokenizer, texts, longest, meta);
}

/** The logits [rows, classes], or of every token of the rows, as many rows at a time as a batch holds. */
export async function computeLogits(engine: Engine, rows: Rows): Promise<Float32Array> {
  const { capacity } = engine.plan;
  const ofTokens = readsTokens(rows.task);
  const targets = rows.tokens.reduce((sum, { length }) => sum + (ofTokens ? rows.padTo || length : 1), 0);
  const results = new Float32Array(targets * rows.task.num_labels);
  const { targetLogits } = ofTokens ? await import("../engine/targets.ts") : {};
  let at = 0;
  const inFlight = new InFlight<void>(engine.answerTime());
  for (let done = 0; done < rows.tokens.length; ) {
    const tokens = takeRows(rows, done, capacity);
    done += tokens.length;
    const batch = packRows({ ...rows, tokens });
    engine.forward(batch);
    const first = at;
    at += batch.targets.length * rows.task.num_labels;
    const logits = targetLogits?.(engine, batch) ?? engine.logits(tokens.length);
    inFlight.add(logits.then((some) => results.set(some, first)));
    while (inFlight.isFull) await inFlight.next();
  }
  while (inFlight.length > 0) await inFlight.next();
  return results;
}

/** The next rows from `first`, as many as fit. */
function takeRows({ tokens, padTo }: Rows, first: number, capacity: Capacity): Uint32Array[] {
  const rows: Uint32Array[] = [];
  let width = 0;
  for (const row of tokens.slice(first, first + capacity.sequences)) {
    width += padTo || row.length;
    if (width > capacity.tokens && rows.length > 0) break;
    rows.push(row);
  }
  return rows;
}

/** Rows as a packed batch. */
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
    rows: Uint32Array.from(rows, (row, b) => (task.pooling === "last" ? starts[b + 1]! : starts[b]! + row.length) - 1),
    targets: new Int32Array(rows.length),
  };
}
