/**
 * Text generation as a plan: forward only, with a cache of keys and values. Five lists share the weights and
 * the cache. `prefill` processes any number of tokens of several sequences, up to the last attention; after it, `next`
 * computes the logits of each sequence's last token, or `score` the loss of every token. `decode` processes one token
 * of each sequence and computes its logits. `sample` chooses the token after them, which the next `decode` processes,
 * so that the host need not read each.
 *
 * Letters: S slots (sequences in the cache), N tokens of a prefill, T positions, C n_embd, V vocabulary.
 */
import { ConfigError } from "../errors.ts";
import { attentionCached } from "../ops/attention.ts";
import { cacheShape, cacheWrite } from "../ops/cache.ts";
import { crossentropyForward } from "../ops/crossentropy.ts";
import { embeddingForward } from "../ops/embedding.ts";
import { MAX_GROUPS } from "../ops/kernel.ts";
import { cachePrefix } from "../ops/prefix.ts";
import { DRAW, drawTables, sample } from "../ops/sample.ts";
import { tableShape } from "../ops/shares.ts";
import { planMemory } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { hasHead } from "../tasks/index.ts";
import { type Shape, Tensor } from "../tensor.ts";
import { architecture } from "./architectures.ts";
import type { Capacity } from "./batch.ts";
import { inputViews } from "./batch.ts";
import type { Architecture } from "./block.ts";
import { Norms } from "./dora.ts";
import { Layers, type Rows, rowTensor } from "./layers.ts";
import { makeParameters, only, type Parameter, type Parameters } from "./parameters.ts";
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

/** What `sample` writes. */
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
  const { spec, capacity } = options;
  if (hasHead(spec.task))
    throw new ConfigError("wrong-task", "a classifier writes no text", { expected: "objective lm" });
  if (capacity.tokens > MAX_GROUPS || capacity.sequences > capacity.tokens)
    throw new ConfigError("invalid-value", "the decoder's capacity is invalid", {
      expected: `at most ${MAX_GROUPS} tokens, and no more sequences than tokens`,
      found: `${capacity.tokens} tokens, ${capacity.sequences} sequences`,
    });
  return new Builder(options).build();
}

/** The residual stream before the last block's attention, and the attention's output. */
interface Through {
  x: Tensor;
  att: Tensor;
}

class Builder {
  private readonly parameters: Parameters;
  private readonly inputs: DecoderInputs;
  private readonly caches: Tensor[];
  private readonly logits: Tensor;
  private readonly losses: Tensor;
  private readonly sampled: Sampled;
  private readonly segments: Segment[] = [];
  private readonly norms = new Norms();
  private readonly C: number;
  private readonly architecture: Architecture;

  constructor(private readonly options: DecoderOptions) {
    const { spec, capacity, maxBinding } = options;
    const { n_embd, n_head, n_kv_head = n_head, n_layer, n_positions, vocab_size } = spec.config;
    this.C = n_embd;
    this.architecture = architecture(spec.config);
    this.parameters = makeParameters(spec, {
      training: false,
      maxBinding,
      isWanted: () => true,
      shared: options.shared,
    });
    const { tokens, sequences } = capacity;
    this.inputs = inputViews({
      ids: [tokens],
      bounds: [tokens, 2],
      slots: [tokens, 2],
      rows: [sequences],
      targets: [tokens],
      draws: [drawTables(sequences), ...tableShape(DRAW)],
    });
    const shape = cacheShape(capacity.sequences, n_kv_head, n_positions, n_embd / n_head);
    this.caches = Array.from({ length: n_layer }, (_, l) => new Tensor(`cache.${l}`, shape, "cache"));
    this.logits = new Tensor("logits", [capacity.sequences, vocab_size], "output");
    this.losses = new Tensor("losses", [capacity.tokens, 4], "output");
    const output = (name: string, shape: Shape) => new Tensor(name, shape, "output", "u32");
    this.sampled = {
      ids: output("ids", [sequences]),
      drawn: output("drawn", [1 + MOST_STEPS, sequences]),
      seen: output("seen", [sequences, Math.ceil(vocab_size / 32)]),
    };
  }

  build(): DecoderPlan {
    const { spec, capacity } = this.options;
    const { inputs, parameters, logits, losses, sampled } = this;
    const tokens: Rows = { count: "tokens", capacity: capacity.tokens };
    const slots: Rows = { count: "slots", capacity: capacity.sequences };
    const [prefill, next] = [this.list("prefill"), this.list("next")];
    const all = this.blocks(prefill, tokens);
    const gather = (x: Tensor) => next.gather(x, inputs.rows, slots);
    this.head(next, slots, this.last(next, slots, { x: gather(all.x), att: gather(all.att) }));
    const score = this.list("score");
    this.score(score, tokens, this.last(score, tokens, all));
    const decode = this.list("decode");
    this.head(decode, slots, this.last(decode, slots, this.blocks(decode, slots)));
    this.list("sample").emit(...sample({ ...sampled, logits, draws: inputs.draws }));
    const weights = [...parameters.all.values()].flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor));
    this.segments.unshift(...this.norms.segments);
    const memory = planMemory(this.segments, [...weights, inputs.root]);
    return { spec, capacity, segments: this.segments, memory, parameters, inputs, logits, losses, sampled };
  }

  /** Layers that emit into a segment. */
  private list(name: Segment["name"]): Layers {
    const segment: Segment = { name, clears: [], dispatches: [] };
    this.segments.push(segment);
    const { spec, capacity } = this.options;
    const { parameters, norms, architecture } = this;
    const common = { spec, parameters, capacity, batch: null, norms, normKernels: architecture.norm };
    return new Layers(common, segment.dispatches);
  }

  /** The embedding and all blocks, the last one up to its attention. */
  private blocks(f: Layers, rows: Rows): Through {
    // A decode has one token a sequence.
    const part = (t: Tensor) => t.view(t.name, [rows.capacity, ...t.shape.slice(1)], 0);
    const isPrefill = rows.count === "tokens";
    const [bounds, slots] = [part(this.inputs.bounds), part(this.inputs.slots)];
    const ids = isPrefill ? this.inputs.ids : this.sampled.ids;
    // Written at every prefill, as its slots may have held other sequences.
    const prefix = isPrefill ? this.parameters.all.get("prefix.weight") : undefined;
    let x = rowTensor("embed", rows, [this.C]);
    f.emit(...embeddingForward(x, f.tokenTable, f.positionTable, ids, bounds));
    for (let l = 0; ; l++) {
      const qkv = this.architecture.queries(f, l, x, rows, { bounds, shift: 0 }).qkv.out;
      const att = rowTensor("att", rows, [this.C]);
      const cache = this.caches[l]!;
      if (prefix) f.emit(cachePrefix(cache, only(prefix), l));
      const heads = f.heads(l);
      f.emit(cacheWrite(cache, qkv, slots, heads), attentionCached(att, qkv, cache, slots, heads));
      if (l === this.caches.length - 1) return { x, att };
      x = this.behindAttention(f, rows, l, { x, att });
    }
  }

  /** The last block after its attention, and the final norm. */
  private last(f: Layers, rows: Rows, through: Through): Tensor {
    return f.norm("ln_f", this.behindAttention(f, rows, this.caches.length - 1, through), rows).out;
  }

  private behindAttention(f: Layers, rows: Rows, l: number, { x, att }: Through): Tensor {
    const [x1, x2] = [rowTensor(`x.${l}.mid`, rows, [this.C]), rowTensor(`block.${l}`, rows, [this.C])];
    f.output(l, "attn", att, rows, { out: x1, residual: x });
    this.architecture.mlp(f, l, x1, rows, x2, false);
    return x2;
  }

  /** Logits [S, V] from the final norm [S, C], one piece of the vocabulary at a time. */
  private head(f: Layers, rows: Rows, norm: Tensor): void {
    const head = f.head(norm, rows);
    const width = this.logits.shape[1]!;
    for (const piece of f.headPieces(head, Infinity))
      f.logits(head, piece, this.logits, { width, column: piece.first });
  }

  /** Losses [N, 4] from the final norm [N, C], one piece of the vocabulary at a time. */
  private score(f: Layers, rows: Rows, norm: Tensor): void {
    const head = f.head(norm, rows);
    for (const piece of f.headPieces(head, Math.min(this.options.maxBinding, LOGITS_BYTES))) {
      const logits = rowTensor("logits", rows, [piece.classes]);
      f.logits(head, piece, logits);
      f.emit(crossentropyForward(this.losses, logits, this.inputs.targets, rows.count, piece.first));
    }
  }
}
