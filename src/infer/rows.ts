/** Texts as rows of batches, and their logits. */
import { type Pooling, textContext } from "../config.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { type Engine, PlanRunner } from "../engine/engine.ts";
import { InFlight } from "../engine/in-flight.ts";
import type { AdapterMeta } from "../io/adapter-meta.ts";
import type { Batch, Capacity } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { pairSettings, type TextOrPair } from "../pair.ts";

/** Texts a batch, of one adapter. */
export const SEQUENCES = 16;

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
  pooling: Pooling;
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

/**
 * The logits [rows, classes] of each member's rows, as many rows at a time as its share of a batch holds. `join`
 * combines the members' batches.
 */
export async function computeLogits(
  engine: Engine,
  members: readonly Rows[],
  join: (batches: readonly Batch[]) => Batch = ([only]) => only!,
): Promise<Float32Array[]> {
  const { spec, capacity } = engine.plan;
  const classes = spec.task.num_labels;
  const share = { tokens: capacity.tokens / members.length, sequences: capacity.sequences / members.length };
  const results = members.map(({ tokens }) => new Float32Array(tokens.length * classes));
  const done = members.map(() => 0);
  const runner = new PlanRunner(engine.plan, engine.session);
  const inFlight = new InFlight<void>(engine.answerTime());
  for (;;) {
    const next = members.map((rows, i) => ({ ...rows, tokens: takeRows(rows, done[i]!, share) }));
    const count = next.reduce((sum, { tokens }) => sum + tokens.length, 0);
    if (count === 0) break;
    const works = next.map((rows) =>
      rows.tokens.length > 0 ? { batch: packRows(rows), loss_scale: 0, update: null } : null,
    );
    const batch = join(works.flatMap((work) => work?.batch ?? []));
    engine.withNorms(["forward"], (segments) => runner.run(segments, batch, works));
    const rows = next.map(({ tokens }, i) => {
      const first = done[i]!;
      done[i]! += tokens.length;
      return { into: results[i]!, first: first * classes, length: tokens.length * classes };
    });
    const arrived = engine.logits(count).then((logits) => {
      let at = 0;
      for (const { into, first, length } of rows) {
        into.set(logits.subarray(at, at + length), first);
        at += length;
      }
    });
    inFlight.add(arrived);
    while (inFlight.isFull) await inFlight.next();
  }
  while (inFlight.length > 0) await inFlight.next();
  return results;
}

/** The next rows from `first` on, as many as fit. */
function takeRows({ tokens, padTo }: Rows, first: number, share: Capacity): Uint32Array[] {
  const rows: Uint32Array[] = [];
  let width = 0;
  for (const row of tokens.slice(first, first + share.sequences)) {
    width += padTo || row.length;
    if (width > share.tokens && rows.length > 0) break;
    rows.push(row);
  }
  return rows;
}

/** Rows as a packed batch. */
export function packRows({ tokens: rows, padTo, pad, pooling }: Rows): Batch {
  const starts = new Uint32Array(rows.length + 1);
  rows.forEach((row, b) => {
    starts[b + 1] = starts[b]! + (padTo || row.length);
  });
  const ids = new Uint32Array(starts[rows.length]!).fill(pad);
  rows.forEach((row, b) => {
    ids.set(row, starts[b]!);
  });
  return {
    ids,
    starts,
    rows: Uint32Array.from(rows, (row, b) => (pooling === "last" ? starts[b + 1]! : starts[b]! + row.length) - 1),
    targets: new Int32Array(rows.length),
  };
}
