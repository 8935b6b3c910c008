/**
 * A model as a plan: its graph (graph.ts; a block of it is in gpt2.ts and llama.ts) with what the method and the task
 * add (passes.ts), lowered to the forward list (lower.ts); the backward list is in backward.ts.
 *
 * Letters: N packed tokens, B sequences, C n_embd, NH heads, L layers, V vocabulary, R rank. Two things save work and
 * memory: a classifier needs one row a sequence after the last attention, so that everything after it runs on B rows
 * (`selectRows`), with mean pooling only after the final norm; and the outputs of layer norm and the activation are
 * recomputed in the backward pass. With `recompute` everything that a block's backward pass reads is recomputed, except
 * the block's input (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). Where the lowest blocks are
 * frozen, the model has two parts: the lower computes features, once per example, for the upper.
 */

import { textContext } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { outside } from "../core/names.ts";
import { Tensor, type TensorPiece } from "../core/tensor.ts";
import { METHODS } from "../methods/index.ts";
import type { StepUpdate } from "../ops/adamw.ts";
import { attentionForward } from "../ops/attention.ts";
import { crossentropyForward, crossentropyLoss } from "../ops/crossentropy.ts";
import { type Dispatch, MAX_GROUPS } from "../ops/kernel.ts";
import { planMemory, SMALLER_BATCH } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { hasHead, hasValues, isMean, readsTokens, TASKS } from "../tasks/index.ts";
import { architecture as findArchitecture } from "./architectures.ts";
import { type BatchInputs, type Capacity, makeBatchInputs, type Rows, roomFor, rowTensor } from "./batch.ts";
import type { Dropout } from "./dropout.ts";
import { type Architecture, modelSections, type Section, type Value } from "./graph.ts";
import type { ValueLoss } from "./head.ts";
import { Head, type HeadPiece } from "./head.ts";
import { attentionHeads, Derived, Lowering, type Source } from "./lower.ts";
import { makeParameters, type Parameter, type Parameters } from "./parameters.ts";
import { addBottlenecks, addRoom, addScales, applyPasses, selectRows } from "./passes.ts";
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
  /** The optimizer, see adamw.ts; null for a forward-only plan. */
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

/** The parts of a training plan besides its forward list. */
export interface Training {
  before: Segment;
  behind: Segment[];
  stopped: Tensor;
  recomputed: number;
}

/** The values between the lower part of a model, which writes them, and the upper part. */
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
  activations: ReadonlyMap<string, Tensor>;
}

/** Rows of `metrics`: the most batches in flight before the host reads their loss. */
export const SLOTS = MAX_ACCUMULATE;

/** The logits of a language model are split into pieces of at most this many bytes. */
const LOGITS_BYTES = 32 << 20;

/** The head, the loss's state [rows, 4], and the logits of each piece. */
export interface Loss {
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
  const { parameters, batch, metrics, features, loss, activations, derived } = forward;
  const list: Segment = { name: "forward", clears: [], dispatches: forward.list };
  const training = loss && optimizer?.minimize(forward, loss);
  const segments = training ? [training.before, list, ...training.behind] : [list];
  segments.unshift(...derived.segments);
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
  readonly prefix: Prefix | null;
  readonly list: Dispatch[] = [];
  /** The sections of this part of the model, up to the head. */
  readonly sections: Section[];
  readonly f: Lowering;
  readonly source: Source;
  /** Null in a lower part. */
  readonly loss: Loss | null;
  readonly activations: ReadonlyMap<string, Tensor>;
  readonly features: Features | null;
  readonly derived = new Derived();
  private readonly architecture: Architecture;
  private readonly part: ModelPart;

  constructor(readonly options: PlanOptions) {
    const { spec, capacity, optimizer, dropout, maxBinding, part, shared, keepActivations } = options;
    this.part = modelPart(spec, part);
    this.architecture = findArchitecture(spec.config);
    const training = optimizer !== null;
    const parameters = makeParameters(spec, { training, maxBinding, isWanted: this.part.has, shared });
    const room = roomFor(spec, capacity);
    const learnsTokens = ["wte.weight", "prompt.weight", "lora.wte.A"].some((name) => parameters.all.get(name)?.grad);
    const batch = makeBatchInputs(spec, room, { byId: learnsTokens, dropout: dropout !== undefined });
    this.parameters = parameters;
    this.batch = batch;
    const tokens: Rows = { count: "tokens", capacity: room.tokens };
    const sequences: Rows = { count: "sequences", capacity: room.sequences };
    const shift = METHODS[spec.mode].virtual === "keys" ? spec.num_virtual_tokens! : 0;
    const attend: Source["attend"] = (...given) => this.attend(...given);
    const selected = { rows: sequences, at: batch.rows, firsts: batch.firsts };
    const { ids, bounds } = batch;
    this.source = { rows: tokens, ids, bounds, shift, attend, selected };
    const all = this.graph();
    const sections = this.partOf(all);
    const last = sections.at(-1)?.output;
    const outputs = keepActivations ? sections.map(({ output }) => output) : [];
    if (part === "lower") outputs.push(last!);
    const { architecture, derived } = this;
    const common = { spec, parameters, architecture, capacity: room, batch, derived, dropout, saves: training };
    this.prefix = shift > 0 ? new Prefix(common, this.source, shift) : null;
    const f = new Lowering(common, this.source, this.list, new Set(outputs));
    [this.f, this.sections] = [f, sections];
    const input = part === "upper" ? (sections[0]?.input ?? all.at(-1)!.output) : null;
    // Without blocks it is what the head reads.
    if (input) f.make(input, sections.length > 0 || readsTokens(spec.task) ? tokens : sequences, "input");
    for (const { layers } of sections) f.lower(layers);
    const features = part === "lower" ? last : input;
    this.features = features ? { tensor: f.tensor(features), rows: f.at(features).rows.count as "tokens" } : null;
    this.activations = new Map(keepActivations ? outputs.map((value) => [value.name, f.tensor(value)]) : []);
    this.loss = part === "lower" ? null : this.head(last ?? input!);
  }

  /** All of the model up to the head. */
  private graph(): Section[] {
    const { spec, dropout, keepActivations } = this.options;
    const { parameters, source } = this;
    const passes = [
      ...(dropout ? [dropout.pass(parameters)] : []),
      addRoom(source.shift),
      addScales(parameters),
      addBottlenecks(parameters),
    ];
    const sections = applyPasses(modelSections(spec.config, this.architecture.block), passes);
    return readsTokens(spec.task) ? sections : selectRows(sections, !keepActivations && !isMean(spec.task));
  }

  /** The sections of this part of the model: the embedding, its blocks, and what is behind them if it has that. */
  private partOf(sections: Section[]): Section[] {
    const { first, end, has } = this.part;
    const [behind, blocks] = [1 + this.options.spec.config.n_layer, sections.slice(1 + first, 1 + end)];
    return [
      ...(has(outside("wte")) ? sections.slice(0, 1) : []),
      ...blocks,
      ...(has(outside("ln_f")) ? sections.slice(behind) : []),
    ];
  }

  /** The attention of a block, with its prefix. Returns the logarithms of the sums of its weights. */
  private attend(f: Lowering, l: number, { root: qkv }: Tensor, out: Tensor): Tensor {
    const { batch, prefix, source } = this;
    const { config } = this.options.spec;
    const lse = rowTensor(`h.${l}.lse`, source.rows, [config.n_head]);
    if (prefix) f.emit(prefix.write(qkv, l));
    f.emit(attentionForward(out, lse, qkv, batch.bounds, attentionHeads(config, l), prefix?.rows));
    return lse;
  }

  /** Logits and loss, one piece of the classes or of the vocabulary at a time. */
  private head(value: Value): Loss {
    const { batch, f } = this;
    const { valueLoss, spec } = this.options;
    const hasLoss = valueLoss !== undefined || !hasValues(spec.task);
    const head = new Head(f, value);
    const { rows } = head;
    const state = rowTensor("loss.state", rows, [4], "output");
    const parts = head.pieces(Math.min(this.options.maxBinding, LOGITS_BYTES));
    const role = parts.length === 1 ? "output" : "activation";
    const pieces = parts.map((piece) => {
      const logits = rowTensor("logits", rows, [piece.classes], role);
      f.emit(...head.logits(piece, logits));
      if (valueLoss) f.emit(valueLoss.forward(state, logits, batch, rows.count, piece.first));
      else if (hasLoss) f.emit(crossentropyForward(state, logits, batch.targets, rows.count, piece.first));
      return { ...piece, logits };
    });
    if (hasLoss) f.emit(crossentropyLoss(this.metrics, state, batch, rows.count));
    return { head, state, pieces };
  }
}
