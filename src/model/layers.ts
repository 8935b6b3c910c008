/**
 * The layers of a model, which emit dispatches: matrices with their adapters, norms, the head in pieces of the
 * vocabulary. A layer's forward method returns what its backward method, in backward-layers.ts, needs.
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
import { doraForward } from "../ops/dora.ts";
import { gatherForward } from "../ops/gather.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { type LinearForward, linearForward } from "../ops/linear.ts";
import { type AdapterGroup, adapterColumns, loraDown } from "../ops/lora.ts";
import { matmul } from "../ops/matmul.ts";
import { type Shares, shareRows } from "../ops/shares.ts";
import { alignView, numel, type Role, type Shape, Tensor, type TensorPiece, VIEW_ALIGN } from "../tensor.ts";
import type { BatchInputs, Capacity } from "./batch.ts";
import type { Norms } from "./dora.ts";
import type { Dropout } from "./dropout.ts";
import { findAdapters, only, type Parameter, type Parameters } from "./parameters.ts";
import type { ModelSpec } from "./trainable.ts";

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
export interface Adapters {
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

/** What the lists of a plan have in common. */
export interface Common {
  spec: ModelSpec;
  parameters: Parameters;
  /** The rows of a batch. */
  capacity: Capacity;
  /** The tables of a batch (ops/shares.ts, ops/dropout.ts); null in a decoder, which does not need them. */
  batch: (Shares & Pick<BatchInputs, "draws">) | null;
  norms: Norms;
  normKernels: NormKernels;
  dropout?: Dropout | undefined;
}

export class Layers {
  readonly config: ModelConfig;
  protected readonly C: number;
  /** The buffers for `down` of the current block or head, and how much of them is used. */
  private downs: { block: number | null; down: Tensor; ddown: Tensor; at: number } | null = null;

  constructor(
    protected readonly common: Common,
    private readonly list: Dispatch[],
  ) {
    this.config = common.spec.config;
    this.C = this.config.n_embd;
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
    const magnitude = this.common.parameters.all.get(magnitudeName(place));
    if (!magnitude) return undefined;
    const groups = adapters.map(({ group }) => group);
    const norm = this.common.norms.of(this.tensor(tensorName(place)), groups);
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

  protected product(name: string, x: Tensor, rows: Rows, adapters: Adapters[], { out, isBare, ...next }: Next): Linear {
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
  protected dropped(place: Place, x: Tensor, rows: Rows, adapters: readonly Adapters[]): Tensor {
    if (!this.common.dropout || adapters.length === 0) return x;
    const out = rowTensor(`${layerName(place)}.dropped`, rows, x.shape.slice(1));
    this.emit(this.common.dropout.forward(place, out, x, this.common.batch!.draws!, shareRows(rows.count)));
    return out;
  }

  /** The residual stream plus the output of the last matrix of half a block, after its adapter layer. */
  output(l: number, half: "attn" | "mlp", x: Tensor, rows: Rows, to: { out: Tensor; residual: Tensor }): Output {
    const name = `h.${l}.${half}.adapter`;
    const bottleneck = this.common.parameters.all.get(`${name}.down.bias`);
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

  /** The adapters of a matrix in groups: adjacent in their buffer and in the result, with equal rank and scale. */
  private adapters(place: Place, rows: Rows): Adapters[] {
    const groups: AdapterGroup[] = [];
    const grads: (Tensor | null)[] = [];
    for (const { A, B } of findAdapters(this.common.parameters, place)) {
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
      const most = Math.max(this.common.capacity.tokens, this.common.capacity.sequences);
      const size = [...this.common.parameters.all.values()]
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
    const norm = {
      ...affine,
      rows,
      inp,
      stats: rowTensor(`${name}.stats`, rows, [this.common.normKernels.stats]),
      out,
    };
    this.normalise(norm, out);
    return norm;
  }

  protected normalise(norm: Norm, out: Tensor): void {
    this.emit(this.common.normKernels.forward(norm, out, this.config.layer_norm_epsilon));
  }

  // ---------------------------------------------------------------------------------------- virtual tokens

  /** The token table; a prompt's virtual tokens are its next rows. */
  get tokenTable(): TensorPiece[] {
    const prompt = this.common.parameters.all.get("prompt.weight");
    const table = this.parameter("wte.weight").pieces;
    return prompt ? [...table, ...promptRows(prompt.pieces, this.common.spec)] : table;
  }

  /** The table of positions; null where these are rotary. */
  get positionTable(): Tensor | null {
    const table = this.common.parameters.all.get("wpe.weight");
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
    this.emit(gatherForward(down, only(A), ids, ids, rows.count));
    this.emit(matmul({ out: x, a: down, b: only(B), transB: true, m: rows.count, n: this.C, k: r, alpha, beta: 1 }));
    return down;
  }

  protected tokenFactors(): { A: Parameter; B: Parameter; r: number; scale: number } | null {
    const { all } = this.common.parameters;
    const [A, B] = (["A", "B"] as const).map((part) => all.get(loraName(TOKENS, part)));
    return A && B ? { A, B, ...A.adapter! } : null;
  }

  // -------------------------------------------------------------------------------------------- in between

  /** The activation of the MLP. */
  get activation(): Activation {
    return this.config.activation_function ?? "gelu_new";
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

  // -------------------------------------------------------------------------------------------------- head

  head(inp: Tensor, rows: Rows): Head {
    const adapters = this.adapters(HEAD, rows);
    const dropped = this.dropped(HEAD, inp, rows, adapters);
    for (const { group, down } of adapters) this.emit(loraDown(down, dropped, group, rows.count));
    return { rows, inp, adapters };
  }

  /** The head in pieces whose logits [rows, classes] have at most `bytes`. */
  headPieces({ rows }: Head, bytes: number): HeadPiece[] {
    const { pieces, grad } = headWeight(this.common.parameters);
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

  protected get headBias(): Parameter | undefined {
    return this.common.parameters.all.get("head.bias");
  }

  /** The logits of a piece, in `out` [rows, width] from `column` on; by default `out` has only these columns. */
  logits({ rows, inp, adapters }: Head, piece: HeadPiece, out: Tensor, at = { width: piece.classes, column: 0 }): void {
    const place = { out, ldc: at.width, outOffset: at.column, m: rows.count, n: piece.classes, transB: true };
    const bias = this.headBias;
    this.emit(matmul({ ...place, a: inp, b: piece.weight, k: this.C, ...(bias ? { bias: only(bias) } : {}) }));
    for (const { group, down: a } of adapters)
      this.emit(matmul({ ...place, a, b: this.headUp(piece), k: group.r, beta: 1 }));
  }

  protected headAdapter(name: "A" | "B"): Parameter {
    return findAdapters(this.common.parameters, HEAD)[0]![name];
  }

  /** The rows of the B of the head's adapter for a piece. */
  protected headUp(piece: HeadPiece): Tensor {
    return rowsFrom(this.headAdapter("B").pieces, piece);
  }

  // ------------------------------------------------------------------------------------------- parameters

  parameter(name: string): Parameter {
    return this.common.parameters.all.get(name)!;
  }

  tensor(name: string): Tensor {
    return only(this.parameter(name));
  }

  affine(name: string): Affine {
    return { name, weight: this.parameter(`${name}.weight`), bias: this.common.parameters.all.get(`${name}.bias`) };
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
    b: adapterPart(group, "B", i),
    transB: true,
    m: rows.count,
    n: width,
    k: r,
    beta: 1,
    ...place,
  });
}

/** A or B of one adapter of a group. */
export function adapterPart(group: AdapterGroup, name: "A" | "B", i: number): Tensor {
  const { stride, r, input } = group;
  return group[name].view(
    group[name].name,
    name === "A" ? [r, input] : [adapterColumns(group, i).width, r],
    i * stride,
  );
}

/** The rows of an adapter's B, or of its gradient, for a piece of the head. */
export function rowsFrom(pieces: TensorPiece[], { first, classes }: HeadPiece): Tensor {
  const whole = only(pieces);
  const r = whole.shape[1]!;
  return whole.view(`${whole.name}+${first}`, [classes, r], first * r);
}

/** The head's weight; of a language model the token table, unless it has a head of its own. */
function headWeight({ all }: Parameters): Parameter {
  return (all.get("head.weight") ?? all.get("lm_head.weight") ?? all.get("wte.weight"))!;
}
