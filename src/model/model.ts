/**
 * A model with LoRA as a plan: the forward list here, and the backward list, which mirrors it, in backward.ts, as in
 * llm.c. What differs between architectures is in gpt2.ts and llama.ts.
 *
 * Letters: N packed tokens, B sequences, C n_embd, NH heads, L layers, V vocabulary, R rank. Two things save work and
 * memory: a classifier needs one row a sequence after the last attention, so that everything after it runs on B rows
 * (`gather`), with mean pooling only after the final norm; and the outputs of layer norm and the activation are
 * recomputed in the backward pass. With `recompute` everything that a block's backward pass reads is recomputed, except
 * the block's input (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). Where the lowest blocks are
 * frozen, the model has two parts: the lower computes features, once per example, for the upper.
 */

import { qkvWidth, textContext } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { METHODS } from "../methods/index.ts";
import { attentionForward } from "../ops/attention.ts";
import { crossentropyForward, crossentropyLoss } from "../ops/crossentropy.ts";
import { embeddingForward } from "../ops/embedding.ts";
import { gatherForward } from "../ops/gather.ts";
import { type Dispatch, MAX_GROUPS } from "../ops/kernel.ts";
import { type StepUpdate, shareRows } from "../ops/shares.ts";
import { planMemory, SMALLER_BATCH } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { hasHead, hasValues, isMean, readsTokens, TASKS } from "../tasks/index.ts";
import { Tensor, type TensorPiece } from "../tensor.ts";
import { architecture } from "./architectures.ts";
import type { Capacity } from "./batch.ts";
import { type BatchInputs, makeBatchInputs, roomFor } from "./batch.ts";
import type { Architecture, Mlp, Queries } from "./block.ts";
import { Norms } from "./dora.ts";
import type { Dropout } from "./dropout.ts";
import {
  type Common,
  type Head,
  type HeadPiece,
  Layers,
  type Norm,
  type Output,
  type Rows,
  rowTensor,
} from "./layers.ts";
import type { ValueLoss } from "./loss.ts";
import { makeParameters, type Parameter, type Parameters } from "./parameters.ts";
import { Prefix } from "./prefix.ts";
import { MAX_ACCUMULATE, type ModelPart, type ModelSpec, modelPart } from "./trainable.ts";

export interface PlanOptions {
  spec: ModelSpec;
  /** The most that a batch may hold. */
  capacity: Capacity;
  /** Drops the inputs of the adapters, in a training plan. */
  dropout?: Dropout | undefined;
  /** The loss where the targets are values of each output; without it such a plan computes logits alone. */
  valueLoss?: ValueLoss | undefined;
  /** Largest binding in bytes; larger token tables and logits are split into pieces. */
  maxBinding: number;
  /** What makes a training plan of it, see adamw.ts; null for a forward-only plan. */
  optimizer: Optimizer | null;
  /**
   * One part of a model with frozenBlocks() > 0, with its parameters alone: the lower part (forward only) is
   * everything below the lowest trained block, or below the head; the upper part is the rest. Default: the whole model.
   */
  part?: "lower" | "upper";
  /** Frozen parameters of another plan, to share. */
  shared?: ReadonlyMap<string, Parameter> | undefined;
  /**
   * Keeps only the inputs of the blocks, and runs a block's forward pass again before its backward pass: less memory,
   * the same bits. Not the last block's, whose backward pass follows at once.
   */
  recompute?: boolean;
  /** Keeps the embedding, every block's output and the final norm readable, on all N rows. For tests. */
  keepActivations?: boolean;
}

/** Trains a model: the backward list and the update. Only what trains loads one. */
export interface Optimizer {
  /** The segments of a step before and behind the forward list, from the loss down. */
  minimize(forward: Forward, loss: Loss): Training;
  /** The scalars of step t, from 1 on. */
  stepValues(lr: number, t: number): StepUpdate;
}

/** What a training plan has besides its forward list. */
export interface Training {
  before: Segment;
  behind: Segment[];
  stopped: Tensor;
  recomputed: number;
}

/** What the lower part of a model writes and the upper part reads. */
interface Features {
  /** [N, C], the residual stream before a block, or [B, C], what the head reads of the final norm. */
  tensor: Tensor;
  rows: "tokens" | "sequences";
}

export interface ModelPlan extends Program {
  spec: ModelSpec;
  parameters: Parameters;
  capacity: Capacity;
  batch: BatchInputs;
  /** [SLOTS, 4]: loss, correct rows, gradient norm, 1 where all is finite. */
  metrics: Tensor;
  /** [1]: not 0 once loss or gradients were not finite. Null in a forward-only plan. */
  stopped: Tensor | null;
  /** The output of a lower part, the input of an upper part; null in a whole model. */
  features: Features | null;
  /** Logits in pieces of classes [rows, count]; readable after a forward pass if there is only one piece. */
  logits: TensorPiece[];
  /** [rows, 4]: each row's loss as `rowLosses` reads it; null in a lower part. */
  losses: Tensor | null;
  /** Blocks whose activations are recomputed in the backward pass. */
  recomputed: number;
  /** Kept activations by the reference's names: embed, block.N, final_norm, pooled. */
  activations: Map<string, Tensor>;
}

/** Rows of `metrics`: the most batches in flight before the host reads their loss. */
export const SLOTS = MAX_ACCUMULATE;

/** The logits of a language model are split into pieces of at most this many bytes. */
const LOGITS_BYTES = 32 << 20;

/** The residual stream between two blocks. */
interface Stream {
  x: Tensor;
  rows: Rows;
}

/** What a block's forward pass saves for its backward pass. */
export interface SavedBlock {
  l: number;
  input: Stream;
  output: Stream;
  queries: Queries;
  /** Queries, keys and values, with the rows of a prefix. */
  keys: Tensor;
  att: Tensor;
  lse: Tensor;
  /** The input of the attention's c_proj: the attention output, or the rows of it that are needed. */
  read: Tensor;
  attProj: Output;
  mlp: Mlp;
}

/** The final norm (null if it is not in this part of the model), and the rows of it that the head reads. */
interface Final {
  norm: Norm | null;
  out: Tensor;
  rows: Rows;
}

/** The head, the loss's state [rows, 4], and the logits of each piece. */
export interface Loss {
  final: Final;
  head: Head;
  state: Tensor;
  pieces: (HeadPiece & { logits: Tensor })[];
}

export function buildPlan(options: PlanOptions): ModelPlan {
  const { spec, capacity, optimizer } = options;
  const { least } = TASKS[spec.task.objective].outputs;
  if (hasHead(spec.task) && spec.task.num_labels < least)
    throw new ConfigError("too-few-classes", "too few classes", {
      expected: `${least} or more`,
      found: String(spec.task.num_labels),
    });
  textContext(spec.config, spec);
  checkRows(roomFor(spec, capacity).tokens);
  const forward = new Forward(options);
  const { parameters, batch, metrics, features, loss, activations, common } = forward;
  const list: Segment = { name: "forward", clears: [], dispatches: forward.list };
  const training = loss && optimizer?.minimize(forward, loss);
  const segments = training ? [training.before, list, ...training.behind] : [list];
  segments.unshift(...common.norms.segments);
  const weights = [...parameters.all.values()].flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor));
  return {
    spec,
    parameters,
    capacity,
    segments,
    memory: planMemory(segments, [...weights, batch.root]),
    batch,
    metrics,
    stopped: training?.stopped ?? null,
    features,
    logits: loss?.pieces.map(({ logits, first }): TensorPiece => ({ tensor: logits, first })) ?? [],
    losses: loss?.state ?? null,
    recomputed: training?.recomputed ?? 0,
    activations,
  };
}

/** Throws ConfigError for more rows than a plan can have. */
export function checkRows(rows: number): void {
  if (rows > MAX_GROUPS)
    throw new ConfigError("batch-too-large", "too many tokens for one batch", {
      // Several kernels have a workgroup a token.
      expected: `at most ${MAX_GROUPS}`,
      found: String(rows),
      hint: SMALLER_BATCH,
    });
}

/** The forward list of a plan, and what it saves for the backward list. */
export class Forward {
  readonly parameters: Parameters;
  readonly batch: BatchInputs;
  /** [SLOTS, 4], as in ModelPlan. */
  readonly metrics = new Tensor("metrics", [SLOTS, 4], "output");
  readonly tokens: Rows;
  readonly prefix: Prefix | null;
  readonly architecture: Architecture;
  /** What the layers of all lists have in common. */
  readonly common: Common;
  readonly list: Dispatch[] = [];
  readonly blocks: SavedBlock[] = [];
  /** What the adapter of the token table saves for its backward pass. */
  tokenDown: Tensor | null = null;
  /** Null in a lower part. */
  readonly loss: Loss | null;
  readonly activations = new Map<string, Tensor>();
  features: Features | null = null;
  private readonly part: ModelPart;
  private readonly sequences: Rows;
  private readonly C: number;
  private readonly f: Layers;

  constructor(readonly options: PlanOptions) {
    const { spec, capacity, optimizer, dropout, maxBinding, part, shared } = options;
    this.part = modelPart(spec, part);
    const training = optimizer !== null;
    const parameters = makeParameters(spec, { training, maxBinding, isWanted: this.part.has, shared });
    const room = roomFor(spec, capacity);
    const learnsTokens = ["wte.weight", "prompt.weight", "lora.wte.A"].some((name) => parameters.all.get(name)?.grad);
    const batch = makeBatchInputs(spec, room, { byId: learnsTokens, dropout: dropout !== undefined });
    this.parameters = parameters;
    this.batch = batch;
    this.tokens = { count: "tokens", capacity: room.tokens };
    this.sequences = { count: "sequences", capacity: room.sequences };
    this.C = spec.config.n_embd;
    this.architecture = architecture(spec.config);
    const norms = new Norms();
    this.common = { spec, parameters, capacity: room, batch, norms, normKernels: this.architecture.norm, dropout };
    this.f = new Layers(this.common, this.list);
    this.prefix = METHODS[spec.mode].virtual === "keys" ? new Prefix(spec, this.tokens, this.f) : null;
    let stream = this.begin();
    for (let l = this.part.first; l < this.part.end; l++) {
      const behind = this.rowsBehind(l, stream);
      const block = this.block(this.f, l, stream, { x: this.keep(`block.${l}`, behind), rows: behind });
      this.blocks.push(block);
      stream = block.output;
    }
    const final = this.finalNorm(stream);
    this.loss = part === "lower" ? null : this.head(final);
  }

  /** The input of the first block (without blocks, of the head): the embedding, or the features. */
  private begin(): Stream {
    const { f, batch, part } = this;
    if (this.options.part === "upper") {
      const isPooled = part.first === part.end && !readsTokens(this.options.spec.task);
      const rows = isPooled ? this.sequences : this.tokens;
      this.features = {
        tensor: rowTensor(part.features!, rows, [this.C], "input"),
        rows: rows.count as Features["rows"],
      };
      return { x: this.features.tensor, rows };
    }
    const x = this.keep("embed", this.tokens);
    f.emit(...embeddingForward(x, f.tokenTable, f.positionTable, batch.ids, batch.bounds, this.shift));
    this.tokenDown = f.tokenAdapter(x, this.tokens, batch.ids);
    this.prefix?.forward();
    return { x, rows: this.tokens };
  }

  /** The position of a sequence's first token. */
  get shift(): number {
    return this.prefix?.rows.count ?? 0;
  }

  /** The rows behind the attention of block l: those that have a target, in the last one (of a mean: all). */
  private rowsBehind(l: number, { rows }: Stream): Rows {
    const { spec, keepActivations } = this.options;
    const isLast = l === spec.config.n_layer - 1;
    return isLast && !readsTokens(spec.task) && !keepActivations && !isMean(spec.task) ? this.sequences : rows;
  }

  /** The forward pass of a block into `output`. `f`: the forward list, or for a recomputed block the backward list. */
  block(f: Layers, l: number, input: Stream, output: Stream): SavedBlock {
    const { batch, C, prefix, shift } = this;
    const { x, rows } = input;
    const { rows: behind } = output;
    const { config } = this.options.spec;
    const { n_head } = config;
    const name = `h.${l}.attn.c_attn`;
    const keys = prefix ? prefix.room(name) : rowTensor(name, rows, [qkvWidth(config)]);
    const out = prefix ? prefix.tokenRows(keys) : keys;
    const queries = this.architecture.queries(f, l, x, rows, { bounds: batch.bounds, shift, out });
    prefix?.write(f, keys, l);
    const [att, lse] = [rowTensor(`h.${l}.att`, rows, [C]), rowTensor(`h.${l}.lse`, rows, [n_head])];
    f.emit(attentionForward(att, lse, keys, batch.bounds, f.heads(l), prefix?.rows));
    const isGathered = behind !== rows;
    const x0 = isGathered ? f.gather(x, batch.rows, behind) : x;
    const read = isGathered ? f.gather(att, batch.rows, behind) : att;
    const x1 = rowTensor(`x.${l}.mid`, behind, [C]);
    const attProj = f.output(l, "attn", read, behind, { out: x1, residual: x0 });
    const mlp = this.architecture.mlp(f, l, x1, behind, output.x, this.options.optimizer !== null);
    return { l, input, output, queries, keys, att, lse, read, attProj, mlp };
  }

  private finalNorm({ x, rows }: Stream): Final {
    if (!this.parameters.all.has("ln_f.weight")) return { norm: null, out: x, rows };
    const { f, batch, sequences } = this;
    const isPooled = rows === sequences;
    const norm = f.norm("ln_f", x, rows, this.keep(isPooled ? "pooled" : "final_norm", rows));
    if (isPooled || readsTokens(this.options.spec.task)) return { norm, out: norm.out, rows };
    const out = this.keep("pooled", sequences);
    f.emit(gatherForward(out, norm.out, batch.rows, batch.firsts));
    return { norm, out, rows: sequences };
  }

  /** Logits and loss, one piece of the classes or of the vocabulary at a time. */
  private head(final: Final): Loss {
    const { f, batch } = this;
    const { out, rows } = final;
    const { valueLoss, spec } = this.options;
    const hasLoss = valueLoss !== undefined || !hasValues(spec.task);
    const state = rowTensor("loss.state", rows, [4], "output");
    const head = f.head(out, rows);
    const parts = f.headPieces(head, Math.min(this.options.maxBinding, LOGITS_BYTES));
    const role = parts.length === 1 ? "output" : "activation";
    const pieces = parts.map((piece) => {
      const logits = rowTensor("logits", rows, [piece.classes], role);
      f.logits(head, piece, logits);
      if (valueLoss) f.emit(valueLoss.forward(state, logits, batch, rows.count, piece.first));
      else if (hasLoss) f.emit(crossentropyForward(state, logits, batch.targets, rows.count, piece.first));
      return { ...piece, logits };
    });
    if (hasLoss) f.emit(crossentropyLoss(this.metrics, state, batch, shareRows(rows.count), batch));
    return { final, head, state, pieces };
  }

  /** A tensor [rows, C] of the residual stream; an output if it is the features or an activation to keep. */
  private keep(name: string, rows: Rows): Tensor {
    const isFeatures = name === this.part.features;
    if (!isFeatures && !this.options.keepActivations) return rowTensor(name, rows, [this.C]);
    const tensor = rowTensor(name, rows, [this.C], "output");
    if (isFeatures) this.features = { tensor, rows: rows.count as Features["rows"] };
    else this.activations.set(name, tensor);
    return tensor;
  }
}
