/**
 * A model with LoRA as a plan: the forward list and the backward list, which mirrors it, as in llm.c. What differs
 * between architectures is in gpt2.ts and llama.ts.
 *
 * Letters: N packed tokens, B sequences, C n_embd, NH heads, L layers, V vocabulary, R rank. Two things save work and
 * memory: a classifier needs one row a sequence after the last attention, so that everything after it runs on B rows
 * (`gather`); and the outputs of layer norm and the activation are recomputed in the backward pass. With `recompute`
 * everything that a block's backward pass reads is recomputed, except the block's input (Chen et al. 2016, "Training
 * Deep Nets with Sublinear Memory Cost"). Where the lowest blocks are frozen, the model has two parts: the lower computes
 * features, once per example, for the upper.
 */

import { hasValues, MAX_ACCUMULATE, qkvWidth, textContext } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { METHODS } from "../methods/index.ts";
import { type AdamWConfig, adamw } from "../ops/adamw.ts";
import { attentionBackward, attentionForward } from "../ops/attention.ts";
import { crossentropyBackward, crossentropyForward, crossentropyLoss } from "../ops/crossentropy.ts";
import { embeddingBackward, embeddingForward, embeddingPositionBackward } from "../ops/embedding.ts";
import { countPartials, gradnorm } from "../ops/gradnorm.ts";
import { type Dispatch, MAX_GROUPS, type Use } from "../ops/kernel.ts";
import { shareRows } from "../ops/shares.ts";
import { planMemory } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { Tensor, type TensorPiece } from "../tensor.ts";
import { architecture } from "./architectures.ts";
import type { Capacity } from "./batch.ts";
import { type BatchInputs, makeBatchInputs, roomFor } from "./batch.ts";
import type { Architecture, Mlp, Queries } from "./block.ts";
import { Norms } from "./dora.ts";
import type { Dropout } from "./dropout.ts";
import {
  HEAD,
  type Head,
  type HeadPiece,
  Layers,
  type Norm,
  type Output,
  promptRows,
  type Rows,
  rowTensor,
} from "./layers.ts";
import type { ValueLoss } from "./loss.ts";
import { makeParameters, only, type Parameter, type Parameters } from "./parameters.ts";
import { Prefix } from "./prefix.ts";
import { type ModelSpec, modelPart, type Part } from "./trainable.ts";

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
  /** AdamW's settings; null for a forward-only plan. */
  optimizer: AdamWConfig | null;
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

/** What the lower part of a model writes and the upper part reads. */
interface Features {
  /** [N, C], the residual stream before a block, or [B, C], the final norm on the rows that the head classifies. */
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
  /** Kept activations by the reference's names: embed, block.N, final_norm. */
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
interface Block {
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
interface Loss {
  final: Final;
  head: Head;
  state: Tensor;
  pieces: (HeadPiece & { logits: Tensor })[];
}

export function buildPlan(options: PlanOptions): ModelPlan {
  const { spec, capacity } = options;
  if (spec.task.objective === "classification" && spec.task.num_labels < 2)
    throw new ConfigError("too-few-classes", "too few classes", {
      expected: "2 or more",
      found: String(spec.task.num_labels),
    });
  textContext(spec.config, spec);
  checkRows(roomFor(spec, capacity).tokens);
  return new Builder(options).build();
}

/** Throws ConfigError for more rows than a plan can have. */
export function checkRows(rows: number): void {
  if (rows > MAX_GROUPS)
    throw new ConfigError("batch-too-large", "too many tokens for one batch", {
      expected: `at most ${MAX_GROUPS}: several kernels have a workgroup a token`,
      found: String(rows),
      hint: "use a smaller --batch-size or --max-length",
    });
}

class Builder {
  private readonly part: Part;
  private readonly parameters: Parameters;
  private readonly batch: BatchInputs;
  private readonly tokens: Rows;
  private readonly sequences: Rows;
  private readonly prefix: Prefix | null;
  private readonly C: number;
  private readonly architecture: Architecture;
  private readonly isLm: boolean;
  private readonly lists = { forward: [] as Dispatch[], backward: [] as Dispatch[], update: [] as Dispatch[] };
  private readonly f: Layers;
  private readonly b: Layers;
  private readonly norms = new Norms();
  private readonly activations = new Map<string, Tensor>();
  private readonly metrics: Tensor;
  private features: Features | null = null;
  /** What the adapter of the token table saves for its backward pass. */
  private tokenDown: Tensor | null = null;
  private recomputed = 0;

  constructor(private readonly options: PlanOptions) {
    const { spec, capacity, optimizer, dropout, maxBinding, part, shared } = options;
    this.part = modelPart(spec, part);
    const training = optimizer !== null;
    this.parameters = makeParameters(spec, { training, maxBinding, isWanted: this.part.has, shared });
    this.metrics = new Tensor("metrics", [SLOTS, 4], "output");
    const room = roomFor(spec, capacity);
    const learnsTokens = ["wte.weight", "prompt.weight", "lora.wte.A"].some(
      (name) => this.parameters.all.get(name)?.grad,
    );
    this.batch = makeBatchInputs(spec, room, { byId: learnsTokens, dropout: dropout !== undefined });
    this.tokens = { count: "tokens", capacity: room.tokens };
    this.sequences = { count: "sequences", capacity: room.sequences };
    this.C = spec.config.n_embd;
    this.architecture = architecture(spec.config);
    this.isLm = spec.task.objective === "lm";
    this.f = new Layers(
      spec,
      this.parameters,
      this.lists.forward,
      room,
      this.batch,
      this.norms,
      this.architecture.norm,
      dropout,
    );
    this.b = new Layers(
      spec,
      this.parameters,
      this.lists.backward,
      room,
      this.batch,
      this.norms,
      this.architecture.norm,
      dropout,
    );
    this.prefix = METHODS[spec.mode].virtual === "keys" ? new Prefix(spec, this.tokens, this.f, this.b) : null;
  }

  build(): ModelPlan {
    const { options } = this;
    const { spec, capacity, optimizer, part } = options;
    const { parameters, batch, metrics, activations } = this;
    const blocks: Block[] = [];
    let stream = this.begin();
    for (let l = this.part.first; l < this.part.end; l++) {
      const behind = this.rowsBehind(l, stream);
      const block = this.block(this.f, l, stream, { x: this.keep(`block.${l}`, behind), rows: behind });
      blocks.push(block);
      stream = block.output;
    }
    const final = this.finalNorm(stream);
    const loss = part === "lower" ? null : this.loss(final);
    let stopped: Tensor | null = null;
    const segments: Segment[] = [{ name: "forward", clears: [], dispatches: this.lists.forward }];
    if (optimizer && loss) {
      let dx = this.lossBackward(loss);
      for (const [i, block] of blocks.toReversed().entries())
        dx &&= options.recompute && i > 0 ? this.recomputedBackward(block, dx) : this.blockBackward(block, dx);
      this.prefix?.backward();
      if (dx) this.embeddingBackward(dx);
      stopped = new Tensor("stopped", [1], "output", "u32");
      this.update(optimizer, stopped);
      segments.unshift({ name: "zero", clears: parameters.pages.map(({ grad }) => grad), dispatches: [] });
      segments.push({ name: "backward", clears: [], dispatches: this.lists.backward });
      segments.push({ name: "update", clears: [], dispatches: this.lists.update });
    }
    segments.unshift(...this.norms.segments);
    const weights = [...parameters.all.values()].flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor));
    const memory = planMemory(segments, [...weights, batch.root]);
    const logits = loss?.pieces.map(({ logits, first }): TensorPiece => ({ tensor: logits, first })) ?? [];
    return {
      spec,
      parameters,
      capacity,
      segments,
      memory,
      batch,
      metrics,
      stopped,
      features: this.features,
      logits,
      losses: loss?.state ?? null,
      recomputed: this.recomputed,
      activations,
    };
  }

  // ---------------------------------------------------------------------------------------------- forward

  /** The input of the first block (without blocks, of the head): the embedding, or the features. */
  private begin(): Stream {
    const { f, batch, part } = this;
    if (this.options.part === "upper") {
      const rows = part.first === part.end ? this.sequences : this.tokens;
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
  private get shift(): number {
    return this.prefix?.rows.count ?? 0;
  }

  /** The rows behind the attention of block l: those that a classifier needs, in the last one. */
  private rowsBehind(l: number, { rows }: Stream): Rows {
    const isLast = l === this.options.spec.config.n_layer - 1;
    return isLast && !this.isLm && !this.options.keepActivations ? this.sequences : rows;
  }

  /** The forward pass of a block into `output`. `f`: the forward list, or for a recomputed block the backward list. */
  private block(f: Layers, l: number, input: Stream, output: Stream): Block {
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
    const norm = this.f.norm("ln_f", x, rows, this.keep("final_norm", rows));
    if (this.isLm || rows === this.sequences) return { norm, out: norm.out, rows };
    return { norm, out: this.f.gather(norm.out, this.batch.rows, this.sequences), rows: this.sequences };
  }

  /** Logits and loss, one piece of the classes or of the vocabulary at a time. */
  private loss(final: Final): Loss {
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

  // --------------------------------------------------------------------------------------------- backward

  /** Gradients of the head and the final norm; returns the gradient of the last block's output, or null. */
  private lossBackward({ final, head, state, pieces }: Loss): Tensor | null {
    const { b, C, batch } = this;
    const { valueLoss } = this.options;
    const { rows } = head;
    const dout = b.trainsBelow(HEAD) ? rowTensor("dhead", rows, [C]) : null;
    for (const piece of pieces) {
      let { logits } = piece;
      if (pieces.length > 1) {
        // Recomputed into a new tensor: the forward pass's logits would otherwise stay in memory, all pieces at once.
        logits = rowTensor("logits", rows, [piece.classes]);
        b.logits(head, piece, logits);
      }
      const dlogits = rowTensor("dlogits", rows, [piece.classes]);
      b.emit(
        valueLoss
          ? valueLoss.backward(dlogits, logits, batch, rows.count, piece.first)
          : crossentropyBackward(dlogits, logits, state, batch, shareRows(rows.count), piece.first, batch),
      );
      b.headBackward(head, piece, dlogits, dout);
    }
    b.headAdaptersBackward(head, dout);
    if (!dout || !final.norm) return null;
    const dnorm = final.norm.rows === rows ? dout : b.scatter(dout, this.batch.selected, final.norm.rows);
    return b.normBackward(final.norm, dnorm).dx;
  }

  /** Gradients of a block from dx, the gradient of its output; returns its input's, or null if none is needed. */
  private blockBackward(block: Block, dx: Tensor): Tensor | null {
    const { l, keys, att, lse, read } = block;
    const { norm, qkv } = block.queries;
    const { linear: attProj } = block.attProj;
    const { b, batch, prefix, shift } = this;
    const { n_head } = this.options.spec.config;
    // x2 = x1 + mlp(ln_2(x1))
    const dx1 = this.architecture.mlpBackward(b, block.mlp, dx);
    // x1 = x + c_proj(attention(c_attn(ln_1(x))))
    const dattProj = dx1 && b.outputBackward(block.attProj, dx1);
    if (!dx1 || !dattProj) return null;
    const dread = b.linearBackward(attProj, dattProj);
    if (!dread) {
      b.gradients({ of: attProj, x: read, dy: dattProj });
      return null;
    }
    const isGathered = attProj.rows !== qkv.rows;
    const datt = isGathered ? b.scatter(dread, batch.selected, qkv.rows) : dread;
    const dx0 = isGathered && b.trainsBelow(norm.weight) ? b.scatter(dx1, batch.selected, qkv.rows) : dx1;
    const dkeys = prefix ? prefix.room(`d${qkv.name}`) : rowTensor(`d${qkv.name}`, qkv.rows, qkv.out.shape.slice(1));
    const dqkv = prefix ? prefix.tokenRows(dkeys) : dkeys;
    const delta = rowTensor(`h.${l}.delta`, qkv.rows, [n_head]);
    b.emit(...attentionBackward(dkeys, delta, datt, att, lse, keys, batch.bounds, b.heads(l), prefix?.rows));
    prefix?.read(dkeys, l);
    this.architecture.queriesBackward(b, dqkv, { bounds: batch.bounds, shift });
    const dnorm = b.linearBackward(qkv, dqkv);
    const below = dnorm ? b.normBackward(norm, dnorm, dx0) : { dx: null, out: () => b.normAgain(norm) };
    b.gradients({ of: attProj, x: read, dy: dattProj }, { of: qkv, x: below.out, dy: dqkv });
    return below.dx;
  }

  /**
   * The same after recomputing the block's forward pass into new tensors, so that the first ones are free once they
   * have been read. What the backward pass does not read, such as the block's output, is left out.
   */
  private recomputedBackward({ l, input, output }: Block, dx: Tensor): Tensor | null {
    const { backward } = this.lists;
    const first = backward.length;
    const block = this.block(this.b, l, input, output);
    const end = backward.length;
    const below = this.blockBackward(block, dx);
    const rest = backward.splice(first);
    const again = needed(rest.slice(0, end - first), rest.slice(end - first));
    backward.push(...again, ...rest.slice(end - first));
    if (again.length > 0) this.recomputed++;
    return below;
  }

  private embeddingBackward(dx: Tensor): void {
    const { b, batch } = this;
    const [wte, wpe] = [b.parameter("wte.weight"), this.parameters.all.get("wpe.weight")];
    const { ids, byId, starts } = batch;
    const prompt = this.parameters.all.get("prompt.weight");
    const table = prompt?.grad ? promptRows(prompt.grad, this.options.spec) : wte.grad;
    if (table && byId) b.emit(...embeddingBackward(table, dx, ids, byId.sorted, byId.groups));
    if (this.tokenDown) b.tokenAdapterBackward(dx, this.tokenDown, this.tokens, batch);
    if (wpe?.grad) b.emit(embeddingPositionBackward(only(wpe.grad), dx, starts));
  }

  // ----------------------------------------------------------------------------------------------- update

  private update(optimizer: AdamWConfig, stopped: Tensor): void {
    const { batch, metrics, parameters } = this;
    const gradients = parameters.pages.map(({ grad }) => grad);
    const count = gradients.reduce((sum, grad) => sum + countPartials(grad), 0);
    const partial = new Tensor("norm.partial", [count], "activation");
    this.lists.update.push(...gradnorm(metrics, stopped, partial, [gradients]));
    for (const page of parameters.pages)
      this.lists.update.push(adamw([{ ...page, clip: optimizer.clip }], metrics, stopped, optimizer, batch));
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

/** The dispatches of a list, in their order, whose results are read later in the list or in the one behind it. */
function needed(list: readonly Dispatch[], behind: readonly Dispatch[]): Dispatch[] {
  const bound = ({ tensors, access }: Dispatch, uses: readonly Use[]) =>
    tensors.filter((_, i) => uses.includes(access[i]!)).map(({ root }) => root);
  const reads = (dispatch: Dispatch) => bound(dispatch, ["read", "update"]);
  const read = new Set(behind.flatMap(reads));
  const kept = list.toReversed().filter((dispatch) => {
    const isNeeded = bound(dispatch, ["write", "update"]).some((root) => read.has(root));
    if (isNeeded) for (const root of reads(dispatch)) read.add(root);
    return isNeeded;
  });
  return kept.reverse();
}
