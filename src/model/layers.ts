/**
 * The layers of GPT-2, which emit dispatches: matrices with their adapters, layer norm, the head in pieces of the vocabulary. A
 * layer's forward method returns what its backward method needs.
 *
 * Letters: C n_embd, V vocabulary, R rank.
 */
import { type Activation, attentionScale } from "../config.ts";
import { ADAPTERS, type Matrix } from "../names.ts";
import { activationForward } from "../ops/activation.ts";
import type { Heads } from "../ops/attention.ts";
import { gatherBackward, gatherForward } from "../ops/gather.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { layernormBackward, layernormForward, layernormParametersBackward } from "../ops/layernorm.ts";
import { type Activated, type LinearForward, linearBackward, linearForward } from "../ops/linear.ts";
import { type AdapterGroup, fitTogether, type LoraJob, loraBackward, loraDown, loraUpBackward } from "../ops/lora.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { alignView, type Role, type Shape, sizeOf, Tensor, type TensorPiece, VIEW_ALIGN } from "../tensor.ts";
import type { Capacity } from "./batch.ts";
import { only, type Parameter, type Parameters } from "./parameters.ts";
import { type ModelSpec, scalesOf, trainsBelow } from "./trainable.ts";

/** The rows of a tensor: the step value that counts them, and the most there can be. */
export interface Rows {
  count: "tokens" | "sequences" | "slots" | number;
  capacity: number;
}

/** A new tensor with these rows. */
export function rowsOf(name: string, { capacity }: Rows, shape: Shape, role: Role = "activation"): Tensor {
  return new Tensor(name, [capacity, ...shape], role);
}

/** Adapters of a matrix that are handled together. */
interface Adapters {
  group: AdapterGroup;
  /** scale * x A^T [rows, count r], and its gradient. */
  down: Tensor;
  ddown: Tensor;
  /** The buffer of their gradients, if they are trained. */
  grad: Tensor | null;
}

/** y = x W + b, with the adapters of W. */
export interface Linear {
  name: string;
  rows: Rows;
  out: Tensor;
  /** The first are part of the product; there are others only if ranks or scales of q, k and v differ. */
  adapters: Adapters[];
}

/** The last matrix of half a block: its output, after an adapter layer if there is one, is added to the residual stream. */
export interface Output {
  linear: Linear;
  adapter: Bottleneck | null;
}

/** Houlsby's adapter layer behind a matrix: z + up(gelu(down(z))), of the matrix' output z. */
interface Bottleneck {
  down: Linear;
  up: Linear;
}

/** Where the result of a product goes, and what follows it: see `LinearForward`. */
interface Next extends Pick<LinearForward, "residual" | "activate" | "sum"> {
  out?: Tensor;
}

/** What the gradients of a matrix, its bias and its adapters are made of. */
interface Gradients {
  of: Linear;
  /** The input of the matrix; a function makes it again where it is needed. */
  x: Tensor | (() => Tensor);
  dy: Tensor;
}

/** A layer norm with its statistics [rows, 2]. */
export interface Norm {
  name: string;
  rows: Rows;
  inp: Tensor;
  stats: Tensor;
  out: Tensor;
}

/** The input of the head, and the head's adapter. */
export interface Head {
  rows: Rows;
  /** [rows, C]. */
  inp: Tensor;
  adapter: Adapters | null;
}

/** A piece of the classes, from `first` on: its rows of the head, and of the gradient. */
export interface HeadPiece {
  first: number;
  weight: Tensor;
  grad: Tensor | null;
}

export class Layers {
  private readonly scales: ReadonlyMap<string, number>;
  /** Whether a parameter before this one is trained. */
  readonly trainsBelow: (parameter: string) => boolean;
  private readonly C: number;
  /** The buffers for `down` of the current block or head, and how much of them is used. */
  private downs: { owner: string; down: Tensor; ddown: Tensor; at: number } | null = null;

  constructor(
    private readonly spec: ModelSpec,
    private readonly parameters: Parameters,
    private readonly list: Dispatch[],
    private readonly capacity: Capacity,
  ) {
    this.scales = scalesOf(spec);
    this.trainsBelow = trainsBelow(spec);
    this.C = spec.config.n_embd;
  }

  emit(...dispatches: Dispatch[]): void {
    this.list.push(...dispatches);
  }

  // ---------------------------------------------------------------------------------------------- matrices

  /** x W + b with the adapters of W. */
  linear(l: number, matrix: Matrix, x: Tensor, rows: Rows, next: Next = {}): Linear {
    return this.product(`h.${l}.${matrix}`, x, rows, this.adapters(l, matrix, rows), next);
  }

  private product(name: string, x: Tensor, rows: Rows, adapters: Adapters[], { out, ...next }: Next): Linear {
    const [W, bias] = [this.tensor(`${name}.weight`), this.tensor(`${name}.bias`)];
    const result = out ?? rowsOf(name, rows, [W.shape[1]!]);
    for (const { group, down } of adapters) this.emit(loraDown(down, x, group, rows.count));
    const [first, ...others] = adapters;
    this.emit(linearForward({ out: result, x, W, bias, rows: rows.count, adapters: first, ...next }));
    for (const { group, down } of others)
      for (let i = 0; i < group.count; i++) this.emit(addUp(result, down, group, i, rows));
    return { name, rows, out: result, adapters };
  }

  /** The residual stream plus the output of the last matrix of half a block, after its adapter layer. */
  output(
    l: number,
    matrix: "attn.c_proj" | "mlp.c_proj",
    x: Tensor,
    rows: Rows,
    to: { out: Tensor; residual: Tensor },
  ): Output {
    const place = `h.${l}.${matrix.replace(".c_proj", "")}.adapter`;
    if (!this.parameters.all.has(`${place}.down.weight`))
      return { linear: this.linear(l, matrix, x, rows, to), adapter: null };
    const { out, residual } = to;
    const sum = rowsOf(`${place}.sum`, rows, [this.C]);
    const linear = this.linear(l, matrix, x, rows, { sum: { add: residual, out: sum } });
    const width = this.parameter(`${place}.down.bias`).shape;
    const hidden = rowsOf(`${place}.hidden`, rows, width);
    const down = this.product(`${place}.down`, linear.out, rows, [], { activate: { by: "gelu_new", out: hidden } });
    const up = this.product(`${place}.up`, hidden, rows, [], { out, residual: sum });
    return { linear, adapter: { down, up } };
  }

  /**
   * The gradient of the matrix' output from dy, that of `output`, with the gradients of the adapter layer; null if nothing before the
   * adapter layer is trained.
   */
  outputBackward({ linear, adapter }: Output, dy: Tensor): Tensor | null {
    if (!adapter) return dy;
    const { down, up } = adapter;
    const hidden = rowsOf(`${up.name}.input`, up.rows, down.out.shape.slice(1));
    const dhidden = this.linearBackward(up, dy, { activated: { by: "gelu_new", inp: down.out, act: hidden } })!;
    this.gradients({ of: up, x: hidden, dy }, { of: down, x: linear.out, dy: dhidden });
    return this.linearBackward(down, dhidden, { add: dy });
  }

  /**
   * The gradient of x [rows, in] from dy, or null if nothing before the matrix is trained. Where x = activation(inp), it is the
   * gradient of inp, and x is written to `act`. `add` [rows, in] is added to it.
   */
  linearBackward(
    { name, rows, adapters }: Linear,
    dy: Tensor,
    next: { activated?: Activated; add?: Tensor } = {},
  ): Tensor | null {
    for (const { group, ddown } of adapters) this.emit(loraUpBackward(ddown, dy, group, rows.count));
    if (!this.trainsBelow(`${name}.weight`)) return null;
    const W = this.tensor(`${name}.weight`);
    const dx = rowsOf(`d${name}.input`, rows, [W.shape[0]!]);
    const [first, ...others] = adapters.map(({ group, ddown }) => ({ group, down: ddown }));
    this.emit(linearBackward({ dx, dy, W, rows: rows.count, adapters: first, ...next }));
    for (const { group, down } of others)
      for (let i = 0; i < group.count; i++) this.emit(addDown(dx, down, group, i, rows));
    return dx;
  }

  /** The gradients of matrices, their biases and their adapters. The adapters of two matrices take one dispatch. */
  gradients(...list: Gradients[]): void {
    const jobs: LoraJob[] = [];
    for (const {
      of: { name, rows, adapters },
      x: input,
      dy,
    } of list) {
      const [weight, bias] = [this.parameter(`${name}.weight`), this.parameter(`${name}.bias`)];
      const [k, n] = weight.shape as [number, number];
      const m = rows.count;
      if (bias.grad) this.emit(matmulBiasBackward(only(bias.grad), dy, m, n));
      if (!weight.grad && adapters.every(({ grad }) => !grad)) continue;
      const x = typeof input === "function" ? input() : input;
      if (weight.grad)
        this.emit(matmul({ out: only(weight.grad), a: x, b: dy, transA: true, m: k, n, k: m, lda: k, beta: 1 }));
      for (const { grad, ...rest } of adapters) if (grad) jobs.push({ ...rest, rows: m, x, dy, grad });
    }
    for (let next = jobs.shift(); next; next = jobs.shift()) {
      const other = jobs[0] && fitTogether(next, jobs[0]) ? jobs.shift() : undefined;
      this.emit(loraBackward(next, other));
    }
  }

  /** The adapters of a matrix in groups: neighbours in their buffer and in the result, of the same rank and scale. */
  private adapters(l: number, matrix: Matrix, rows: Rows): Adapters[] {
    const groups: AdapterGroup[] = [];
    const grads: (Tensor | null)[] = [];
    for (const [site, third] of ADAPTERS[matrix]) {
      const one = this.adapterGroup(`h.${l}.${site}`, third * this.C);
      if (!one) continue;
      const last = groups.at(-1);
      if (last && append(last, one.group)) continue;
      groups.push(one.group);
      grads.push(one.grad);
    }
    return groups.map((group, i) => this.withRows(`h.${l}.`, group, grads[i]!, rows));
  }

  /** A group of the adapter at a site alone, or null if there is none. */
  private adapterGroup(site: string, column: number): { group: AdapterGroup; grad: Tensor | null } | null {
    const A = this.parameters.all.get(`lora.${site}.A`);
    const B = this.parameters.all.get(`lora.${site}.B`);
    if (!A || !B) return null;
    const [r, input] = A.shape as [number, number];
    const flat = (tensor: Tensor) => tensor.view(tensor.name, [tensor.size], 0);
    const place = { count: 1, column, step: 0, stride: 0, width: B.shape[0]! };
    const group = { r, input, scale: this.scales.get(site)!, ...place, A: flat(only(A)), B: flat(only(B)) };
    return { group, grad: A.grad && only(A.grad).root };
  }

  /** Room for the `down` of a group: those of a block are in one buffer, their gradients in another, as a dispatch has few bindings. */
  private withRows(owner: string, group: AdapterGroup, grad: Tensor | null, rows: Rows): Adapters {
    const shape = [rows.capacity, group.count * group.r];
    if (this.downs?.owner !== owner) {
      const sites = [...this.scales.keys()].filter((site) => site.startsWith(owner));
      const ranks = sites.map((site) => this.parameter(`lora.${site}.A`).shape[0]!);
      const most = Math.max(this.capacity.tokens, this.capacity.sequences);
      const size = ranks.reduce((sum, r) => sum + alignView(most * r), 0);
      const root = (name: string) => new Tensor(`${owner}${name}`, [size], "activation");
      this.downs = { owner, down: root("down"), ddown: root("ddown"), at: 0 };
    }
    const { down, ddown, at } = this.downs;
    this.downs.at += alignView(sizeOf(shape));
    const view = (tensor: Tensor) => tensor.view(tensor.name, shape, at);
    return { group, grad, down: view(down), ddown: view(ddown) };
  }

  // ------------------------------------------------------------------------------------------------- norms

  layernorm(name: string, inp: Tensor, rows: Rows, out = rowsOf(name, rows, [this.C])): Norm {
    const norm = { name, rows, inp, stats: rowsOf(`${name}.stats`, rows, [2]), out };
    this.normalise(norm, out);
    return norm;
  }

  /** Recomputes the output of a norm. The kernel writes the statistics again, with the same values. */
  layernormAgain(norm: Norm): Tensor {
    const out = rowsOf(norm.name, norm.rows, [this.C]);
    this.normalise(norm, out);
    return out;
  }

  private normalise({ name, rows, inp, stats }: Norm, out: Tensor): void {
    const [weight, bias] = [this.tensor(`${name}.weight`), this.tensor(`${name}.bias`)];
    this.emit(layernormForward(out, stats, inp, weight, bias, rows.count, this.spec.config.layer_norm_epsilon));
  }

  /**
   * The gradients of a norm's parameters and of its input. `dx`: the gradient of the input plus `add`, that of the residual stream, or
   * null if nothing before the norm is trained. `out` gives the norm's output, made again.
   */
  layernormBackward(norm: Norm, dout: Tensor, add?: Tensor): { dx: Tensor | null; out: () => Tensor } {
    const { name, rows, inp, stats } = norm;
    const [weight, bias] = [this.parameter(`${name}.weight`), this.parameter(`${name}.bias`)];
    if (weight.grad && bias.grad)
      this.emit(layernormParametersBackward(only(weight.grad), only(bias.grad), dout, inp, stats, rows.count));
    else if (bias.grad) this.emit(matmulBiasBackward(only(bias.grad), dout, rows.count, this.C));
    if (!this.trainsBelow(weight.name)) return { dx: null, out: () => this.layernormAgain(norm) };
    const [dx, out] = [rowsOf("dresidual", rows, [this.C]), rowsOf(name, rows, [this.C])];
    const parts = { inp, stats, weight: only(weight), bias: only(bias) };
    this.emit(layernormBackward(dx, out, dout, parts, rows.count, add));
    return { dx, out: () => out };
  }

  // ---------------------------------------------------------------------------------------- virtual tokens

  /** The token table; a prompt's virtual tokens are its next rows. */
  get tokenTable(): TensorPiece[] {
    const prompt = this.parameters.all.get("prompt.weight");
    const table = this.parameter("wte.weight").pieces;
    return prompt ? [...table, ...promptRows(prompt.pieces, this.spec)] : table;
  }

  // -------------------------------------------------------------------------------------------- in between

  /** The activation of the MLP. */
  get activation(): Activation {
    return this.spec.config.activation_function ?? "gelu_new";
  }

  activate(inp: Tensor, out: Tensor, rows: Rows): Tensor {
    this.emit(activationForward(out, inp, rows.count, this.activation));
    return out;
  }

  /** The heads of block l. */
  heads(l: number): Heads {
    const { config } = this.spec;
    return { count: config.n_head, scale: attentionScale(config, l) };
  }

  /** The rows `at` of x. */
  gather(x: Tensor, at: Tensor, rows: Rows): Tensor {
    const out = rowsOf(`${x.name}.selected`, rows, [this.C]);
    this.emit(gatherForward(out, x, at));
    return out;
  }

  /** The backward pass of `gather`: the gathered rows in their places, 0 elsewhere. */
  scatter(dout: Tensor, selected: Tensor, rows: Rows): Tensor {
    const dinp = rowsOf(`${dout.name}.all`, rows, [this.C]);
    this.emit(gatherBackward(dinp, dout, selected));
    return dinp;
  }

  // -------------------------------------------------------------------------------------------------- head

  head(inp: Tensor, rows: Rows): Head {
    const found = this.adapterGroup("head", 0);
    const adapter = found && this.withRows("head", found.group, found.grad, rows);
    if (adapter) this.emit(loraDown(adapter.down, inp, adapter.group, rows.count));
    return { rows, inp, adapter };
  }

  /** The head in pieces whose logits [rows, classes] have at most `bytes`. */
  headPieces({ rows }: Head, bytes: number): HeadPiece[] {
    const { pieces, grad } = this.headWeight;
    const most = Math.floor(bytes / 4 / rows.capacity / VIEW_ALIGN) * VIEW_ALIGN;
    return pieces.flatMap(({ tensor, first }, i) => {
      const total = tensor.shape[0]!;
      const count = Math.min(total, Math.max(VIEW_ALIGN, most));
      return Array.from({ length: Math.ceil(total / count) }, (_, j) => {
        const [offset, classes] = [j * count, Math.min(count, total - j * count)];
        const part = (whole: Tensor) => whole.view(`${whole.name}+${offset}`, [classes, this.C], offset * this.C);
        return { first: first + offset, weight: part(tensor), grad: grad && part(grad[i]!.tensor) };
      });
    });
  }

  /** The head's weight; of a language model the token table, unless it has a head of its own. */
  get headWeight(): Parameter {
    const { all } = this.parameters;
    return (all.get("head.weight") ?? all.get("lm_head.weight") ?? all.get("wte.weight"))!;
  }

  get headBias(): Parameter | undefined {
    return this.parameters.all.get("head.bias");
  }

  /** The logits of a piece, in columns of `out` [rows, width] from `column` on; by default `out` has only these columns. */
  logits(
    { rows, inp, adapter }: Head,
    piece: HeadPiece,
    out: Tensor,
    at = { width: piece.weight.shape[0]!, column: 0 },
  ): void {
    const [n, k] = piece.weight.shape as [number, number];
    const bias = this.headBias;
    const place = { ldc: at.width, outOffset: at.column, m: rows.count, n, transB: true };
    this.emit(matmul({ out, a: inp, b: piece.weight, k, ...place, ...(bias ? { bias: only(bias) } : {}) }));
    if (!adapter) return;
    const { down, group } = adapter;
    this.emit(matmul({ out, a: down, b: this.headUp(piece), k: group.r, beta: 1, ...place }));
  }

  /** The rows of the head's B for a piece. */
  headUp(piece: HeadPiece): Tensor {
    return rowsFrom(this.parameter("lora.head.B").pieces, piece);
  }

  // ------------------------------------------------------------------------------------------- parameters

  parameter(name: string): Parameter {
    return this.parameters.all.get(name)!;
  }

  tensor(name: string): Tensor {
    return only(this.parameter(name));
  }
}

/** A prompt, or its gradient, as rows of the token table. */
export function promptRows(pieces: TensorPiece[], { config }: ModelSpec): TensorPiece[] {
  return [{ tensor: only(pieces), first: config.vocab_size }];
}

/** Adds an adapter to a group if it is the next one in its buffer and in the result, and has the same rank and scale. */
function append(group: AdapterGroup, next: AdapterGroup): boolean {
  const { count, r, scale, width } = group;
  const [stride, step] = [next.A.offset - group.A.offset, next.column - group.column];
  const isSame = next.r === r && next.scale === scale && next.width === width && next.A.root === group.A.root;
  const isNext = count === 1 ? stride > 0 && step > 0 : stride === count * group.stride && step === count * group.step;
  if (!isSame || !isNext) return false;
  group.count++;
  if (count === 1) Object.assign(group, { stride, step });
  // Up to the end of the last one.
  for (const name of ["A", "B"] as const)
    group[name] = group[name].view(group[name].name, [next[name].offset + next[name].size - group[name].offset], 0);
  return true;
}

/** out += down B^T for adapter i of a group that is not part of the product. */
function addUp(out: Tensor, down: Tensor, group: AdapterGroup, i: number, rows: Rows): Dispatch {
  const { count, r, width, column, step } = group;
  const place = { lda: count * r, aOffset: i * r, ldc: out.shape[1]!, outOffset: column + i * step };
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
function part({ stride, r, input, width, ...group }: AdapterGroup, name: "A" | "B", i: number): Tensor {
  return group[name].view(group[name].name, name === "A" ? [r, input] : [width, r], i * stride);
}

/** The rows of an adapter's B, or of its gradient, for a piece of the head. */
export function rowsFrom(pieces: TensorPiece[], { first, weight }: Pick<HeadPiece, "first" | "weight">): Tensor {
  const whole = only(pieces);
  const r = whole.shape[1]!;
  return whole.view(`${whole.name}+${first}`, [weight.shape[0]!, r], first * r);
}
