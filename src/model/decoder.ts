/**
 * Text generation as a plan: forward only, with a cache of keys and values. Five lists share the weights and
 * the cache. `prefill` processes any number of tokens of several sequences, up to the last attention; after it, `next`
 * computes the logits of each sequence's last token, or `score` the loss of every token. `decode` processes one token
 * of each sequence and computes its logits. `sample` chooses the token after them, which the next `decode` processes,
 * so that the host need not read each.
 *
 * Letters: S slots (sequences in the cache), N tokens of a prefill, T positions, C n_embd, V vocabulary.
 */
import { ConfigError } from "../core/errors.ts";
import { type Shape, Tensor } from "../core/tensor.ts";
import { attentionCached } from "../ops/attention.ts";
import { cacheShape, cacheWrite } from "../ops/cache.ts";
import { crossentropyForward } from "../ops/crossentropy.ts";
import { tableShape } from "../ops/jobs.ts";
import { MAX_GROUPS } from "../ops/kernel.ts";
import { cachePrefix } from "../ops/prefix.ts";
import { DRAW, drawTables, sample } from "../ops/sample.ts";
import { planMemory } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { hasHead } from "../tasks/index.ts";
import { architecture } from "./architectures.ts";
import { type Capacity, inputViews, type Rows, rowTensor } from "./batch.ts";
import { modelSections, type Section, type Value } from "./graph.ts";
import { Head } from "./head.ts";
import { attentionHeads, type Common, Derived, Lowering, type Source } from "./lower.ts";
import { makeParameters, only, type Parameter, type Parameters } from "./parameters.ts";
import { addBottlenecks, addScales, applyPasses, cutBehindAttention, selectLive } from "./passes.ts";
import type { ModelSpec } from "./trainable.ts";

export interface DecoderOptions {
  /** The spec of a language model. */
  spec: ModelSpec;
  /** Tokens of a prefill, and slots of the cache. */
  capacity: Capacity;
  /** Largest binding in bytes; a larger token table is split into pieces. */
  maxBinding: number;
  /** Frozen parameters of another plan, to share. */
  shared?: ReadonlyMap<string, Parameter>;
}

/** The inputs of a step: views of one buffer. */
interface DecoderInputs {
  root: Tensor;
  ids: Tensor;
  /**
   * [N, 2]: the row at which the token's sequence would start if all of it were in the batch, and its end. The start is
   * negative where earlier tokens are in the cache: the u32 wraps, and so does the subtraction that uses it.
   */
  bounds: Tensor;
  /** [N, 2]: the token's slot and its position in it. */
  slots: Tensor;
  /** [S]: the rows whose logits `next` computes. */
  rows: Tensor;
  targets: Tensor;
  /** How each row of the logits chooses its next token: see ops/sample.ts. */
  draws: Tensor;
}

export interface DecoderPlan extends Program {
  spec: ModelSpec;
  capacity: Capacity;
  parameters: Parameters;
  inputs: DecoderInputs;
  /** [S, V]: logits of the last `next` or `decode`, until `sample` makes weights of them. */
  logits: Tensor;
  sampled: Sampled;
  /** [N, 4]: largest logit, sum of exp(logit - largest), logit of the target: of the last `score`. */
  losses: Tensor;
}

/** The outputs of `sample`. */
interface Sampled {
  /** [S]: the tokens that the next `decode` processes. */
  ids: Tensor;
  /** [1 + MOST_STEPS, S]: the tokens of the steps since the host last read them; those after a prefill in row 0. */
  drawn: Tensor;
  /** [S, ceil(V / 32)]: the tokens of each slot's sequence as bits. */
  seen: Tensor;
}

/** The most steps of `decode` between two reads. */
export const MOST_STEPS = 32;

/** The logits of `score` are split into pieces of at most this many bytes. */
const LOGITS_BYTES = 16 << 20;

export function buildDecoder(options: DecoderOptions): DecoderPlan {
  const {
    spec,
    capacity: { tokens, sequences },
  } = options;
  if (hasHead(spec.task))
    throw new ConfigError("wrong-task", "a classifier writes no text", { expected: "objective lm" });
  if (tokens > MAX_GROUPS || sequences > tokens)
    throw new ConfigError("invalid-value", "the decoder's capacity is invalid", {
      expected: `at most ${MAX_GROUPS} tokens, and no more sequences than tokens`,
      found: `${tokens} tokens, ${sequences} sequences`,
    });
  return new Builder(options).build();
}

class Builder {
  private readonly common: Common;
  private readonly inputs: DecoderInputs;
  private readonly caches: Tensor[];
  private readonly logits: Tensor;
  private readonly losses: Tensor;
  private readonly sampled: Sampled;
  private readonly segments: Segment[] = [];
  private readonly sections: Section[];

  constructor(private readonly options: DecoderOptions) {
    const { spec, capacity, maxBinding } = options;
    const { n_embd, n_head, n_kv_head = n_head, n_layer, n_positions, vocab_size } = spec.config;
    const wanted = { training: false, maxBinding, isWanted: () => true, shared: options.shared };
    const [parameters, made] = [makeParameters(spec, wanted), architecture(spec.config)];
    const derived = new Derived();
    this.common = { spec, parameters, architecture: made, capacity, batch: null, derived, saves: false };
    const passes = [addScales(parameters), addBottlenecks(parameters)];
    this.sections = applyPasses(modelSections(spec.config, made.block), passes);
    const { tokens, sequences } = capacity;
    this.inputs = inputViews({
      ids: [tokens],
      bounds: [tokens, 2],
      slots: [tokens, 2],
      rows: [sequences],
      targets: [tokens],
      draws: [drawTables(sequences), ...tableShape(DRAW)],
    });
    const shape = cacheShape(sequences, n_kv_head, n_positions, n_embd / n_head);
    this.caches = Array.from({ length: n_layer }, (_, l) => new Tensor(`cache.${l}`, shape, "cache"));
    this.logits = new Tensor("logits", [sequences, vocab_size], "output");
    this.losses = new Tensor("losses", [tokens, 4], "output");
    const output = (name: string, shape: Shape) => new Tensor(name, shape, "output", "u32");
    this.sampled = {
      ids: output("ids", [sequences]),
      drawn: output("drawn", [1 + MOST_STEPS, sequences]),
      seen: output("seen", [sequences, Math.ceil(vocab_size / 32)]),
    };
  }

  build(): DecoderPlan {
    const { spec, capacity, parameters, derived } = this.common;
    const { inputs, logits, losses, sampled, sections } = this;
    const tokens: Rows = { count: "tokens", capacity: capacity.tokens };
    const slots: Rows = { count: "slots", capacity: capacity.sequences };
    // The last block: what is behind its attention runs on other rows.
    const [final, last] = [sections.at(-1)!, cutBehindAttention(sections.at(-2)!)];
    const behind = [...last.behind, ...final.layers];
    const through = [...sections.slice(0, -2).flatMap(({ layers }) => layers), ...last.before];
    const [prefill, next] = [this.list("prefill", tokens), this.list("next", slots)];
    prefill.lower(through);
    const score = this.list("score", tokens);
    for (const value of last.live) for (const list of [next, score]) list.values.set(value, prefill.at(value));
    next.lower(selectLive({ ...last, behind }));
    this.head(next, final.output);
    score.lower(behind);
    this.score(score, final.output);
    const decode = this.list("decode", slots);
    decode.lower([...through, ...behind]);
    this.head(decode, final.output);
    this.list("sample", slots).emit(...sample({ ...sampled, logits, draws: inputs.draws }));
    const weights = [...parameters.all.values()].flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor));
    this.segments.unshift(...derived.segments);
    const memory = planMemory(this.segments, [...weights, inputs.root]);
    return { spec, capacity, segments: this.segments, memory, parameters, inputs, logits, losses, sampled };
  }

  /** Lowers layers into a segment, over tokens that a prefill or a decode processes. */
  private list(name: Segment["name"], rows: Rows): Lowering {
    const segment: Segment = { name, clears: [], dispatches: [] };
    this.segments.push(segment);
    const { inputs, sampled } = this;
    // A decode has one token a sequence.
    const part = (t: Tensor) => t.view(t.name, [rows.capacity, 2], 0);
    const isPrefill = rows.count === "tokens";
    const [bounds, slots] = [part(inputs.bounds), part(inputs.slots)];
    const source: Source = {
      rows,
      ids: isPrefill ? inputs.ids : sampled.ids,
      bounds,
      shift: 0,
      // Over the cache, which gets the keys and values of these tokens first.
      attend: (f, l, qkv, out): undefined => {
        const cache = this.caches[l]!;
        const prefix = this.common.parameters.all.get("prefix.weight");
        // Written at every prefill, as its slots may have held other sequences.
        if (prefix && isPrefill) f.emit(cachePrefix(cache, only(prefix), l));
        const heads = attentionHeads(f.config, l);
        f.emit(cacheWrite(cache, qkv, slots, heads), attentionCached(out, qkv, cache, slots, heads));
      },
      selected: { rows, at: inputs.rows },
    };
    return new Lowering(this.common, source, segment.dispatches);
  }

  /** Logits [S, V] from the final norm [S, C], one piece of the vocabulary at a time. */
  private head(f: Lowering, norm: Value): void {
    const head = new Head(f, norm);
    const { logits } = this;
    for (const piece of head.pieces(Infinity))
      f.emit(...head.logits(piece, logits, { width: logits.shape[1]!, column: piece.first }));
  }

  /** Losses [N, 4] from the final norm [N, C], one piece of the vocabulary at a time. */
  private score(f: Lowering, norm: Value): void {
    const head = new Head(f, norm);
    for (const piece of head.pieces(Math.min(this.options.maxBinding, LOGITS_BYTES))) {
      const logits = rowTensor("logits", head.rows, [piece.classes]);
      f.emit(...head.logits(piece, logits));
      f.emit(crossentropyForward(this.losses, logits, this.inputs.targets, head.rows.count, piece.first));
    }
  }
}
