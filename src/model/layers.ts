/**
 * The layers of a model, which emit dispatches: matrices with their adapters, norms, the head in pieces of the
 * vocabulary. A layer's forward method returns what its backward method needs.
 *
 * Letters: C n_embd, V vocabulary, R rank.
 */
import { type Activation, attentionScale, type ModelConfig } from "../config.ts";
import {
  firstColumn,
  layerName,
  loraName,
  type Matrix,
  magnitudeName,
  type Place,
  type Site,
  tensorName,
} from "../names.ts";
import { activationForward } from "../ops/activation.ts";
import type { Heads } from "../ops/attention.ts";
import { doraBackward, doraForward } from "../ops/dora.ts";
import { embeddingBackward } from "../ops/embedding.ts";
import { gatherBackward, gatherForward } from "../ops/gather.ts";
import type { Dispatch } from "../ops/kernel.ts";
import {
  type Activated,
  type LinearBackward,
  type LinearForward,
  linearBackward,
  linearForward,
} from "../ops/linear.ts";
import {
  type AdapterGroup,
  adapterColumns,
  fitTogether,
  type LoraJob,
  loraBackward,
  loraDown,
  loraUpBackward,
} from "../ops/lora.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { type Shares, shareRows } from "../ops/shares.ts";
import { alignView, numel, type Role, type Shape, Tensor, type TensorPiece, VIEW_ALIGN } from "../tensor.ts";
import type { BatchInputs, Capacity } from "./batch.ts";
import type { Norms } from "./dora.ts";
import type { Dropout } from "./dropout.ts";
import { findAdapters, only, type Parameter, type Parameters } from "./parameters.ts";
import { type ModelSpec, trainsBelow } from "./trainable.ts";

/** The rows of a tensor: the step value that counts them, and the most there can be. */
export interface Rows {
  count: "tokens" | "sequences" | "slots" | number;
  capacity: number;
}

/** A new tensor with these rows. */
export function rowTensor(name: string, { capacity }: Rows, shape: Shape, role: Role = "activation"): Tensor {
  return new Tensor(name, [capacity, ...shape], role);
}

export const HEAD: Place = { block: null, layer: "head" };
const TOKENS: Site = { target: "wte", block: null };

/** Adapters of a matrix that are handled together. */
interface Adapters {
  group: AdapterGroup;
  /** scale * x A^T [rows, count r], and its gradient. */
  down: Tensor;
  ddown: Tensor;
  /** The buffer of their gradients, if they are trained. */
  grad: Tensor | null;
}

/** DoRA's part of a matrix. */
interface Dora {
  magnitude: Parameter;
  /** [out] */
  norm: Tensor;
  /** The outputs before they are scaled, without the bias [rows, out], and their gradient. */
  z: Tensor;
  dz: Tensor;
}

/** A weight and, if there is one, a bias. */
interface Affine {
  name: string;
  weight: Parameter;
  bias: Parameter | undefined;
}

/** y = x W + b, with the adapters of W. */
export interface Linear extends Affine {
  rows: Rows;
  out: Tensor;
  /** The first are part of the product; there are others only if ranks or scales of q, k and v differ. */
  adapters: Adapters[];
  dora?: Dora | undefined;
}

/** The last matrix of half a block: its output, after an adapter layer if any, is added to the residual stream. */
export interface Output {
  linear: Linear;
  adapter: Bottleneck | null;
}

/** Houlsby's adapter layer after a matrix: z + up(gelu(down(z))), z the matrix's output. */
interface Bottleneck {
  down: Linear;
  up: Linear;
}

/** Where the result of a product goes, and what follows it: see `LinearForward`. */
interface Next extends Pick<LinearForward, "residual" | "activate" | "sum"> {
  out?: Tensor;
  /** Without the bias. */
  isBare?: true;
}

/** What goes into the gradient of a layer's input: see `LinearBackward`. */
type NextBackward = Pick<LinearBackward, "activated" | "add">;

/** The inputs of the gradients of a matrix, its bias and its adapters. */
interface Gradients {
  of: Linear;
  /** The input of the matrix; a function recomputes it where it is needed. */
  x: Tensor | (() => Tensor);
  dy: Tensor;
}

/** A layer norm with its statistics [rows, 2], or an RMS norm, which has no bias, with 1 / RMS [rows, 1]. */
export interface Norm extends Affine {
  rows: Rows;
  inp: Tensor;
  stats: Tensor;
  out: Tensor;
}

/** The kernels of an architecture's norms. */
export interface NormKernels {
  /** Statistics of a row. */
  stats: number;
  forward(norm: Norm, out: Tensor, epsilon: number): Dispatch;
  /** dx = the gradient of the input, plus `add`; the output is written to `out` again. */
  backward(norm: Norm, dx: Tensor, out: Tensor, dout: Tensor, add?: Tensor): Dispatch;
  /** The gradients of all parameters. */
  parametersBackward(norm: Norm, dout: Tensor): Dispatch;
}

/** The input of the head, and its adapters. */
export interface Head {
  rows: Rows;
  /** [rows, C]. */
  inp: Tensor;
  adapters: Adapters[];
}

/** A piece of the classes, from `first` on: its rows of the head, and of their gradient. */
export interface HeadPiece {
  first: number;
  classes: number;
  weight: Tensor;
  grad: Tensor | null;
}

export class Layers {
  /** Whether a parameter before this place is trained. */
  readonly trainsBelow: (place: Place) => boolean;
  readonly config: ModelConfig;
  private readonly C: number;
  /** The buffers for `down` of the current block or head, and how much of them is used. */
  private downs: { block: number | null; down: Tensor; ddown: Tensor; at: number } | null = null;

  constructor(
    private readonly spec: ModelSpec,
    private readonly parameters: Parameters,
    private readonly list: Dispatch[],
    /** The rows of a batch. */
    private readonly capacity: Capacity,
    /** The tables of a batch (ops/shares.ts, ops/dropout.ts); null in a decoder, which does not need them. */
    private readonly batch: (Shares & Pick<BatchInputs, "draws">) | null,
    private readonly norms: Norms,
    private readonly normKernels: NormKernels,
    private readonly dropout?: Dropout,
  ) {
    this.trainsBelow = trainsBelow(spec);
    this.config = spec.config;
    this.C = spec.config.n_embd;
  }

  emit(...dispatches: Dispatch[]): void {
    this.list.push(...dispatches);
  }

  // ---------------------------------------------------------------------------------------------- matrices

  /** x W + b with the adapters of W. */
  linear(l: number, matrix: Matrix, x: Tensor, rows: Rows, next: Next = {}): Linear {
    const place = { block: l, layer: matrix };
    const adapters = this.adapters(place, rows);
    const dora = this.dora(place, rows, adapters);
    if (!dora) return this.product(layerName(place), x, rows, adapters, next);
    const linear = this.product(layerName(place), x, rows, adapters, { out: dora.z, isBare: true });
    return { ...linear, out: this.scale(linear, dora, next), dora };
  }

  /** DoRA's part of a matrix, if it has one. */
  private dora(place: Place, rows: Rows, adapters: readonly Adapters[]): Dora | undefined {
    const magnitude = this.parameters.all.get(magnitudeName(place));
    if (!magnitude) return undefined;
    const groups = adapters.map(({ group }) => group);
    const norm = this.norms.of(this.tensor(tensorName(place)), groups);
    const make = (what: string) => rowTensor(`${layerName(place)}.${what}`, rows, magnitude.shape);
    return { magnitude, norm, z: make("z"), dz: make("dz") };
  }

  /** Scales the outputs of a matrix, and emits what else follows it. */
  private scale({ name, bias, rows }: Linear, { magnitude, norm, z }: Dora, { out, residual, activate }: Next): Tensor {
    const make = () => rowTensor(name, rows, magnitude.shape);
    const result = out ?? make();
    const to = activate?.out === "in place" ? { scaled: make(), act: result } : { scaled: result, act: activate?.out };
    const tensors = { out: to.scaled, z, magnitude: only(magnitude), norm, bias: bias && only(bias), residual };
    this.emit(doraForward({ ...tensors, rows: rows.count }));
    if (activate) this.emit(activationForward(to.act!, to.scaled, rows.count, activate.by));
    return result;
  }

  private product(name: string, x: Tensor, rows: Rows, adapters: Adapters[], { out, isBare, ...next }: Next): Linear {
    const affine = this.affine(name);
    const [W, bias] = [only(affine.weight), isBare || !affine.bias ? undefined : only(affine.bias)];
    const result = out ?? rowTensor(name, rows, [W.shape[1]!]);
    const dropped = this.dropped(affine.weight, x, rows, adapters);
    for (const { group, down } of adapters) this.emit(loraDown(down, dropped, group, rows.count));
    const [first, ...others] = adapters;
    this.emit(linearForward({ ...next, out: result, x, W, bias, rows: rows.count, adapters: first }));
    for (const { group, down } of others)
      for (let i = 0; i < group.count; i++) this.emit(addUp(result, down, group, i, rows));
    return { ...affine, rows, out: result, adapters };
  }

  /** What the adapters of a matrix see of its input x: all of it, or what dropout leaves. */
  private dropped(place: Place, x: Tensor, rows: Rows, adapters: readonly Adapters[]): Tensor {
    if (!this.dropout || adapters.length === 0) return x;
    const out = rowTensor(`${layerName(place)}.dropped`, rows, x.shape.slice(1));
    this.emit(this.dropout.forward(place, out, x, this.batch!.draws!, shareRows(rows.count)));
    return out;
  }

  /** The residual stream plus the output of the last matrix of half a block, after its adapter layer. */
  output(l: number, half: "attn" | "mlp", x: Tensor, rows: Rows, to: { out: Tensor; residual: Tensor }): Output {
    const name = `h.${l}.${half}.adapter`;
    const bottleneck = this.parameters.all.get(`${name}.down.bias`);
    if (!bottleneck) return { linear: this.linear(l, `${half}.c_proj`, x, rows, to), adapter: null };
    const { out, residual } = to;
    const sum = rowTensor(`${name}.sum`, rows, [this.C]);
    const linear = this.linear(l, `${half}.c_proj`, x, rows, { sum: { add: residual, out: sum } });
    const hidden = rowTensor(`${name}.hidden`, rows, bottleneck.shape);
    const activate = { by: "gelu_new", out: hidden } as const;
    const down = this.product(`${name}.down`, linear.out, rows, [], { activate });
    const up = this.product(`${name}.up`, hidden, rows, [], { out, residual: sum });
    return { linear, adapter: { down, up } };
  }

  /**
   * The gradient of the matrix's output from dy, the gradient of `output`, with the gradients of the adapter layer;
   * null if nothing before the adapter layer is trained.
   */
  outputBackward({ linear, adapter }: Output, dy: Tensor): Tensor | null {
    if (!adapter) return dy;
    const { down, up } = adapter;
    const hidden = rowTensor(`${up.name}.input`, up.rows, down.out.shape.slice(1));
    const dhidden = this.inputGradient(up, dy, { activated: { by: "gelu_new", inp: down.out, act: hidden } });
    this.gradients({ of: up, x: hidden, dy }, { of: down, x: linear.out, dy: dhidden });
    return this.linearBackward(down, dhidden, { add: dy });
  }

  /**
   * The gradient of x [rows, in] from dy, or null if nothing before the matrix is trained. Where x = activation(inp),
   * it is the gradient of inp, and x is written to `act`. `add` [rows, in] is added to it.
   */
  linearBackward(linear: Linear, dy: Tensor, next?: NextBackward): Tensor | null {
    const { adapters, rows, dora } = linear;
    if (dora) {
      const { dz, z, magnitude, norm } = dora;
      const scaling = { z, magnitude: only(magnitude), norm };
      this.emit(doraBackward(dz, only(magnitude.grad!), dy, scaling, rows.count));
    }
    const dz = dora?.dz ?? dy;
    for (const { group, ddown } of adapters) this.emit(...loraUpBackward(ddown, dz, group, rows.count));
    return this.trainsBelow(linear.weight) ? this.inputGradient(linear, dz, next) : null;
  }

  /** The same, whatever is trained. */
  private inputGradient({ name, weight, rows, adapters }: Linear, dy: Tensor, next: NextBackward = {}): Tensor {
    const W = only(weight);
    const dx = rowTensor(`d${name}.input`, rows, [W.shape[0]!]);
    if (this.dropout && adapters.length > 0) {
      this.emit(linearBackward({ dx, dy, W, rows: rows.count }));
      this.droppedBackward(weight, dx, rows, adapters, next.activated);
      return dx;
    }
    const [first, ...others] = adapters.map(({ group, ddown }) => ({ group, down: ddown }));
    this.emit(linearBackward({ ...next, dx, dy, W, rows: rows.count, adapters: first }));
    for (const { group, down } of others)
      for (let i = 0; i < group.count; i++) this.emit(addDown(dx, down, group, i, rows));
    return dx;
  }

  /**
   * Adds the adapters' part to the gradient of a matrix's input, then the derivative of an activation: behind one, all
   * adapters are one group.
   */
  private droppedBackward(
    place: Place,
    dx: Tensor,
    rows: Rows,
    adapters: readonly Adapters[],
    activated?: Activated,
  ): void {
    const { draws } = this.batch!;
    for (const { group, ddown } of adapters)
      this.emit(this.dropout!.backward(place, { dx, ddown, group, activated }, draws!, shareRows(rows.count)));
  }

  /** The gradients of matrices, their biases and their adapters. The adapters of two matrices take one dispatch. */
  gradients(...list: Gradients[]): void {
    // Of each matrix those whose gradients are in the same buffer.
    const jobs: LoraJob[][] = [];
    for (const {
      of: { weight, bias, rows, adapters, dora },
      x: input,
      dy,
    } of list) {
      const [k, n] = weight.shape as [number, number];
      const m = rows.count;
      this.biasBackward(bias, dy, rows);
      if (!weight.grad && adapters.every(({ grad }) => !grad)) continue;
      const x = typeof input === "function" ? input() : input;
      const dz = dora?.dz ?? dy;
      if (weight.grad)
        this.emit(matmul({ out: only(weight.grad), a: x, b: dz, transA: true, m: k, n, k: m, lda: k, beta: 1 }));
      const byBuffer = new Map<Tensor, LoraJob[]>();
      const dropped = this.dropped(weight, x, rows, adapters);
      for (const { grad, ...rest } of adapters)
        if (grad) byBuffer.set(grad, [...(byBuffer.get(grad) ?? []), { ...rest, rows: m, x: dropped, dy: dz, grad }]);
      jobs.push(...byBuffer.values());
    }
    for (let next = jobs.shift(); next; next = jobs.shift()) {
      const other = jobs[0] && fitTogether(next[0]!, jobs[0][0]!) ? jobs.shift()! : [];
      this.emit(...loraBackward(next, other, this.batch!));
    }
  }

  private biasBackward(bias: Parameter | undefined, dy: Tensor, { count }: Rows): void {
    if (bias?.grad) this.emit(matmulBiasBackward([{ dbias: only(bias.grad) }], dy, count, this.batch!));
  }

  /** The adapters of a matrix in groups: adjacent in their buffer and in the result, with equal rank and scale. */
  private adapters(place: Place, rows: Rows): Adapters[] {
    const groups: AdapterGroup[] = [];
    const grads: (Tensor | null)[] = [];
    for (const { A, B } of findAdapters(this.parameters, place)) {
      const one = this.adapterGroup(A, B);
      const last = groups.at(-1);
      if (last && append(last, one)) continue;
      groups.push(one);
      grads.push(A.grad && only(A.grad).root);
    }
    return groups.map((group, i) => this.withRows(place.block, group, grads[i]!, rows));
  }

  /** The group of an adapter alone. */
  private adapterGroup(A: Parameter, B: Parameter): AdapterGroup {
    const [r, input] = A.shape as [number, number];
    const { target, scale } = A.adapter!;
    const flat = (tensor: Tensor) => tensor.view(tensor.name, [tensor.size], 0);
    const place = {
      count: 1,
      column: firstColumn(target, this.config),
      step: 0,
      stride: 0,
      width: B.shape[0]!,
      skew: 0,
    };
    return { r, input, scale, ...place, A: flat(only(A)), B: flat(only(B)) };
  }

  /** Room for a group's `down`. Bindings are few: those of a block are in one buffer, their gradients in another. */
  private withRows(block: number | null, group: AdapterGroup, grad: Tensor | null, rows: Rows): Adapters {
    const shape = [rows.capacity, group.count * group.r];
    if (this.downs?.block !== block) {
      const most = Math.max(this.capacity.tokens, this.capacity.sequences);
      const size = [...this.parameters.all.values()]
        .filter((parameter) => parameter.partner && parameter.block === block)
        .reduce((sum, { shape: [r] }) => sum + alignView(most * r!), 0);
      const owner = block === null ? "head" : `h.${block}`;
      const root = (name: string) => new Tensor(`${owner}.${name}`, [size], "activation");
      this.downs = { block, down: root("down"), ddown: root("ddown"), at: 0 };
    }
    const { down, ddown, at } = this.downs;
    this.downs.at += alignView(numel(shape));
    const view = (tensor: Tensor) => tensor.view(tensor.name, shape, at);
    return { group, grad, down: view(down), ddown: view(ddown) };
  }

  // ------------------------------------------------------------------------------------------------- norms

  norm(name: string, inp: Tensor, rows: Rows, out = rowTensor(name, rows, [this.C])): Norm {
    const affine = this.affine(name);
    const norm = { ...affine, rows, inp, stats: rowTensor(`${name}.stats`, rows, [this.normKernels.stats]), out };
    this.normalise(norm, out);
    return norm;
  }

  /** Recomputes the output of a norm. The kernel writes the statistics again, with the same values. */
  normAgain(norm: Norm): Tensor {
    const out = rowTensor(norm.name, norm.rows, [this.C]);
    this.normalise(norm, out);
    return out;
  }

  private normalise(norm: Norm, out: Tensor): void {
    this.emit(this.normKernels.forward(norm, out, this.config.layer_norm_epsilon));
  }

  /**
   * The gradients of a norm's parameters and of its input. `dx`: the gradient of the input plus `add`, that of the
   * residual stream, or null if nothing before the norm is trained. `out` receives the norm's output, recomputed.
   */
  normBackward(norm: Norm, dout: Tensor, add?: Tensor): { dx: Tensor | null; out: () => Tensor } {
    const { name, weight, bias, rows } = norm;
    if (weight.grad && (!bias || bias.grad)) this.emit(this.normKernels.parametersBackward(norm, dout));
    else this.biasBackward(bias, dout, rows);
    if (!this.trainsBelow(weight)) return { dx: null, out: () => this.normAgain(norm) };
    const [dx, out] = [rowTensor(`d${name}.input`, rows, [this.C]), rowTensor(name, rows, [this.C])];
    this.emit(this.normKernels.backward(norm, dx, out, dout, add));
    return { dx, out: () => out };
  }

  // ---------------------------------------------------------------------------------------- virtual tokens

  /** The token table; a prompt's virtual tokens are its next rows. */
  get tokenTable(): TensorPiece[] {
    const prompt = this.parameters.all.get("prompt.weight");
    const table = this.parameter("wte.weight").pieces;
    return prompt ? [...table, ...promptRows(prompt.pieces, this.spec)] : table;
  }

  /** The table of positions; null where these are rotary. */
  get positionTable(): Tensor | null {
    const table = this.parameters.all.get("wpe.weight");
    return table ? only(table) : null;
  }

  /**
   * Adds the adapter of the token table, if there is one, to the embedding x [N, C]: s B A[ids]. Returns A[ids] [N, r]
   * for its backward pass.
   */
  tokenAdapter(x: Tensor, rows: Rows, ids: Tensor): Tensor | null {
    const adapter = this.tokenFactors();
    if (!adapter) return null;
    const { A, B, r, scale: alpha } = adapter;
    const down = rowTensor("wte.down", rows, [r]);
    this.emit(gatherForward(down, only(A), ids, rows.count));
    this.emit(matmul({ out: x, a: down, b: only(B), transB: true, m: rows.count, n: this.C, k: r, alpha, beta: 1 }));
    return down;
  }

  /** The gradients of the token table's adapter from dx, that of the embedding. */
  tokenAdapterBackward(dx: Tensor, down: Tensor, rows: Rows, { ids, byId }: BatchInputs): void {
    const { A, B, r, scale: alpha } = this.tokenFactors()!;
    const ddown = rowTensor("wte.ddown", rows, [r]);
    const [m, n] = [rows.count, this.C];
    this.emit(matmul({ out: only(B.grad!), a: dx, b: down, transA: true, m: n, n: r, k: m, lda: n, alpha, beta: 1 }));
    this.emit(matmul({ out: ddown, a: dx, b: only(B), m, n: r, k: n, alpha }));
    this.emit(...embeddingBackward(A.grad!, ddown, ids, byId!.sorted, byId!.groups));
  }

  private tokenFactors(): { A: Parameter; B: Parameter; r: number; scale: number } | null {
    const { all } = this.parameters;
    const [A, B] = (["A", "B"] as const).map((part) => all.get(loraName(TOKENS, part)));
    return A && B ? { A, B, ...A.adapter! } : null;
  }

  // -------------------------------------------------------------------------------------------- in between

  /** The activation of the MLP. */
  get activation(): Activation {
    return this.config.activation_function ?? "gelu_new";
  }

  activate(inp: Tensor, out: Tensor, rows: Rows): Tensor {
    this.emit(activationForward(out, inp, rows.count, this.activation));
    return out;
  }

  /** The heads of block l. */
  heads(l: number): Heads {
    const { n_head: count, n_kv_head: kvCount = count } = this.config;
    return { count, kvCount, scale: attentionScale(this.config, l) };
  }

  /** The rows `at` of x. */
  gather(x: Tensor, at: Tensor, rows: Rows): Tensor {
    const out = rowTensor(`${x.name}.selected`, rows, [this.C]);
    this.emit(gatherForward(out, x, at));
    return out;
  }

  /** The backward pass of `gather`: the gathered rows in their places, 0 elsewhere. */
  scatter(dout: Tensor, selected: Tensor, rows: Rows): Tensor {
    const dinp = rowTensor(`${dout.name}.all`, rows, [this.C]);
    this.emit(gatherBackward(dinp, dout, selected));
    return dinp;
  }

  // -------------------------------------------------------------------------------------------------- head

  head(inp: Tensor, rows: Rows): Head {
    const adapters = this.adapters(HEAD, rows);
    const dropped = this.dropped(HEAD, inp, rows, adapters);
    for (const { group, down } of adapters) this.emit(loraDown(down, dropped, group, rows.count));
    return { rows, inp, adapters };
  }

  /** The head in pieces whose logits [rows, classes] have at most `bytes`. */
  headPieces({ rows }: Head, bytes: number): HeadPiece[] {
    const { pieces, grad } = headWeight(this.parameters);
    const most = Math.floor(bytes / 4 / rows.capacity / VIEW_ALIGN) * VIEW_ALIGN;
    return pieces.flatMap(({ tensor, first }, i) => {
      const total = tensor.shape[0]!;
      const count = Math.min(total, Math.max(VIEW_ALIGN, most));
      return Array.from({ length: Math.ceil(total / count) }, (_, j) => {
        const [offset, classes] = [j * count, Math.min(count, total - j * count)];
        const part = (whole: Tensor) => whole.view(`${whole.name}+${offset}`, [classes, this.C], offset * this.C);
        return { first: first + offset, classes, weight: part(tensor), grad: grad && part(grad[i]!.tensor) };
      });
    });
  }

  private get headBias(): Parameter | undefined {
    return this.parameters.all.get("head.bias");
  }

  /** The logits of a piece, in `out` [rows, width] from `column` on; by default `out` has only these columns. */
  logits({ rows, inp, adapters }: Head, piece: HeadPiece, out: Tensor, at = { width: piece.classes, column: 0 }): void {
    const place = { out, ldc: at.width, outOffset: at.column, m: rows.count, n: piece.classes, transB: true };
    const bias = this.headBias;
    this.emit(matmul({ ...place, a: inp, b: piece.weight, k: this.C, ...(bias ? { bias: only(bias) } : {}) }));
    for (const { group, down: a } of adapters)
      this.emit(matmul({ ...place, a, b: this.headUp(piece), k: group.r, beta: 1 }));
  }

  /** The gradients of the head from those of a piece of its logits; the gradient of its input is added to `dout`. */
  headBackward({ rows, inp, adapters }: Head, piece: HeadPiece, dlogits: Tensor, dout: Tensor | null): void {
    const { classes: n, weight, grad } = piece;
    const [k, C] = [rows.count, this.C];
    // The first piece writes, the others add.
    const beta = piece.first === 0 ? 0 : 1;
    const a = dlogits;
    if (grad) this.emit(matmul({ out: grad, a, b: inp, transA: true, m: n, n: C, k, lda: n, beta: 1 }));
    this.biasBackward(this.headBias, dlogits, rows);
    if (dout) this.emit(matmul({ out: dout, a, b: weight, m: k, n: C, k: n, beta }));
    for (const { grad, group, down, ddown } of adapters) {
      if (!grad) continue;
      const { r, scale: alpha } = group;
      const dB = rowsFrom(this.headAdapter("B").grad!, piece);
      this.emit(matmul({ out: dB, a, b: down, transA: true, m: n, n: r, k, lda: n, beta: 1 }));
      this.emit(matmul({ out: ddown, a, b: this.headUp(piece), m: k, n: r, k: n, alpha, beta }));
    }
  }

  /** The gradients of A of the head's adapters, after all pieces; the gradient of their input is added to `dout`. */
  headAdaptersBackward({ rows, inp, adapters }: Head, dout: Tensor | null): void {
    const [k, C] = [rows.count, this.C];
    const dropped = this.dropped(HEAD, inp, rows, adapters);
    for (const { grad, group, ddown: a } of adapters) {
      if (!grad) continue;
      const { r } = group;
      const A = this.headAdapter("A");
      this.emit(matmul({ out: only(A.grad!), a, b: dropped, transA: true, m: r, n: C, k, lda: r, beta: 1 }));
      if (dout && !this.dropout) this.emit(matmul({ out: dout, a, b: only(A), m: k, n: C, k: r, beta: 1 }));
    }
    if (dout && this.dropout) this.droppedBackward(HEAD, dout, rows, adapters);
  }

  private headAdapter(name: "A" | "B"): Parameter {
    return findAdapters(this.parameters, HEAD)[0]![name];
  }

  /** The rows of the B of the head's adapter for a piece. */
  private headUp(piece: HeadPiece): Tensor {
    return rowsFrom(this.headAdapter("B").pieces, piece);
  }

  // ------------------------------------------------------------------------------------------- parameters

  parameter(name: string): Parameter {
    return this.parameters.all.get(name)!;
  }

  tensor(name: string): Tensor {
    return only(this.parameter(name));
  }

  affine(name: string): Affine {
    return { name, weight: this.parameter(`${name}.weight`), bias: this.parameters.all.get(`${name}.bias`) };
  }
}

/** A prompt, or its gradient, as rows of the token table. */
export function promptRows(pieces: TensorPiece[], { config }: ModelSpec): TensorPiece[] {
  return [{ tensor: only(pieces), first: config.vocab_size }];
}

/** Adds an adapter to a group if it is the next in its buffer and in the result, with the same rank and scale. */
function append(group: AdapterGroup, next: AdapterGroup): boolean {
  const { count, r, scale } = group;
  const stride = next.A.offset - group.A.offset;
  // The first may be wider.
  const first = adapterColumns(group, 0);
  const { width } = next;
  const skew = first.width - width;
  const step = next.column - first.column - skew;
  const isSame = next.r === r && next.scale === scale && next.A.root === group.A.root && skew >= 0;
  const isNext =
    count === 1
      ? stride > 0 && step > 0
      : stride === count * group.stride && step === count * group.step && width === group.width;
  if (!isSame || !isNext) return false;
  group.count++;
  if (count === 1) Object.assign(group, { stride, step, width, skew });
  // Up to the end of the last one.
  for (const name of ["A", "B"] as const)
    group[name] = group[name].view(group[name].name, [next[name].offset + next[name].size - group[name].offset], 0);
  return true;
}

/** out += down B^T for adapter i of a group that is not part of the product. */
function addUp(out: Tensor, down: Tensor, group: AdapterGroup, i: number, rows: Rows): Dispatch {
  const { count, r } = group;
  const { column, width } = adapterColumns(group, i);
  const place = { lda: count * r, aOffset: i * r, ldc: out.shape[1]!, outOffset: column };
  return matmul({
    out,
    a: down,
    b: part(group, "B", i),
    transB: true,
    m: rows.count,
    n: width,
    k: r,
    beta: 1,
    ...place,
  });
}

/** dx += ddown A for adapter i of such a group. */
function addDown(dx: Tensor, ddown: Tensor, group: AdapterGroup, i: number, rows: Rows): Dispatch {
  const { count, r, input } = group;
  const place = { lda: count * r, aOffset: i * r };
  return matmul({ out: dx, a: ddown, b: part(group, "A", i), m: rows.count, n: input, k: r, beta: 1, ...place });
}

/** A or B of one adapter of a group. */
function part(group: AdapterGroup, name: "A" | "B", i: number): Tensor {
  const { stride, r, input } = group;
  return group[name].view(
    group[name].name,
    name === "A" ? [r, input] : [adapterColumns(group, i).width, r],
    i * stride,
  );
}

/** The rows of an adapter's B, or of its gradient, for a piece of the head. */
function rowsFrom(pieces: TensorPiece[], { first, classes }: HeadPiece): Tensor {
  const whole = only(pieces);
  const r = whole.shape[1]!;
  return whole.view(`${whole.name}+${first}`, [classes, r], first * r);
}

/** The head's weight; of a language model the token table, unless it has a head of its own. */
function headWeight({ all }: Parameters): Parameter {
  return (all.get("head.weight") ?? all.get("lm_head.weight") ?? all.get("wte.weight"))!;
}
