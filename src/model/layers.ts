/**
 * The layers of GPT-2, which emit dispatches: matrices with their adapters, layer norm, the head in pieces of the vocabulary. A
 * layer's forward method returns what its backward method needs.
 *
 * Letters: C n_embd, V vocabulary, R rank.
 */
import { ADAPTERS, type Matrix } from "../names.ts";
import { gatherBackward, gatherForward } from "../ops/gather.ts";
import { geluForward } from "../ops/gelu.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { layernormBackward, layernormForward, layernormParametersBackward } from "../ops/layernorm.ts";
import { type Columns, loraDown, loraDownBackward, loraUp, loraUpBackward } from "../ops/lora.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { residualForward } from "../ops/residual.ts";
import { type Role, type Shape, Tensor, type TensorPiece, VIEW_ALIGN } from "../tensor.ts";
import { only, type Parameter, type Parameters } from "./parameters.ts";
import { type ModelSpec, scalesOf, trainsBelow } from "./trainable.ts";

/** The rows of a tensor: the step value that counts them, and the most there can be. */
export interface Rows {
  count: "tokens" | "sequences" | "slots";
  capacity: number;
}

/** A new tensor with these rows. */
export function rowsOf(name: string, { capacity }: Rows, shape: Shape, role: Role = "activation"): Tensor {
  return new Tensor(name, [capacity, ...shape], role);
}

/** An adapter as applied: A [R, in], B [out, R], x A^T [rows, R], and the first column that it writes. */
interface Adapter {
  A: Parameter;
  B: Parameter;
  scale: number;
  column: number;
  down: Tensor;
}

/** y = x W + b, with the adapters of W. */
export interface Linear {
  name: string;
  rows: Rows;
  out: Tensor;
  adapters: Adapter[];
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
  adapter: Adapter | null;
}

/** A piece of the classes, from `first` on: its rows of the head or the token table, and of the gradient. */
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

  constructor(
    private readonly spec: ModelSpec,
    private readonly parameters: Parameters,
    private readonly list: Dispatch[],
  ) {
    this.scales = scalesOf(spec);
    this.trainsBelow = trainsBelow(spec);
    this.C = spec.config.n_embd;
  }

  emit(...dispatches: Dispatch[]): void {
    this.list.push(...dispatches);
  }

  // ---------------------------------------------------------------------------------------------- matrices

  linear(l: number, matrix: Matrix, x: Tensor, rows: Rows): Linear {
    const name = `h.${l}.${matrix}`;
    const [W, bias] = [this.tensor(`${name}.weight`), this.tensor(`${name}.bias`)];
    const [k, n] = W.shape as [number, number];
    const out = rowsOf(name, rows, [n]);
    this.emit(matmul({ out, a: x, b: W, m: rows.count, n, k, bias }));
    const adapters: Adapter[] = [];
    for (const [site, third] of ADAPTERS[matrix]) {
      const adapter = this.adapter(`h.${l}.${site}`, x, rows, third * this.C);
      if (!adapter) continue;
      const { B, down, scale, column } = adapter;
      this.emit(loraUp(out, down, only(B), rows.count, scale, { width: n, column }));
      adapters.push(adapter);
    }
    return { name, rows, out, adapters };
  }

  /**
   * The gradients of a matrix, its bias and its adapters from dy; returns the gradient of x [rows, k], or null if nothing before it
   * is trained. `input` returns x, recomputed if it was not saved, and is only called if x is needed.
   */
  linearBackward({ name, rows, adapters }: Linear, dy: Tensor, input: () => Tensor): Tensor | null {
    const [weight, bias] = [this.parameter(`${name}.weight`), this.parameter(`${name}.bias`)];
    const [k, n] = weight.shape as [number, number];
    const trained = adapters.filter(({ A }) => A.grad);
    const x = weight.grad || trained.length > 0 ? input() : null;
    const m = rows.count;
    if (weight.grad && x)
      this.emit(matmul({ out: only(weight.grad), a: x, b: dy, transA: true, m: k, n, k: m, lda: k, beta: 1 }));
    if (bias.grad) this.emit(matmulBiasBackward(only(bias.grad), dy, m, n));
    let dx: Tensor | null = null;
    if (this.trainsBelow(weight.name)) {
      dx = rowsOf(`d${name}.input`, rows, [k]);
      this.emit(matmul({ out: dx, a: dy, b: only(weight), transB: true, m, n: k, k: n }));
    }
    for (const { A, B, scale, column, down } of trained) {
      const ddown = rowsOf("ddown", rows, [A.shape[0]!]);
      this.emit(
        ...loraUpBackward(only(B.grad!), ddown, dy, down, only(B), m, scale, { width: n, column }),
        ...loraDownBackward(only(A.grad!), dx, ddown, x!, only(A), m),
      );
    }
    return dx;
  }

  /** The adapter at a site, with x A^T; null if there is none. */
  private adapter(site: string, x: Tensor, rows: Rows, column: number): Adapter | null {
    const A = this.parameters.all.get(`lora.${site}.A`);
    const B = this.parameters.all.get(`lora.${site}.B`);
    if (!A || !B) return null;
    const down = rowsOf(`lora.${site}.down`, rows, [A.shape[0]!]);
    this.emit(loraDown(down, x, only(A), rows.count));
    return { A, B, scale: this.scales.get(site)!, column, down };
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
   * The gradients of a norm's parameters, and of its input: added to `dx` if it is given, else in a new tensor. Returns the input's,
   * or null if nothing before the norm is trained.
   */
  layernormBackward({ name, rows, inp, stats }: Norm, dout: Tensor, dx?: Tensor): Tensor | null {
    const [weight, bias] = [this.parameter(`${name}.weight`), this.parameter(`${name}.bias`)];
    if (weight.grad && bias.grad)
      this.emit(layernormParametersBackward(only(weight.grad), only(bias.grad), dout, inp, stats, rows.count));
    if (!this.trainsBelow(weight.name)) return null;
    const into = dx ?? rowsOf("dresidual", rows, [this.C]);
    this.emit(layernormBackward(into, dout, inp, stats, only(weight), rows.count, dx ? 1 : 0));
    return into;
  }

  // -------------------------------------------------------------------------------------------- in between

  gelu(inp: Tensor, rows: Rows): Tensor {
    const out = rowsOf("fcg", rows, inp.shape.slice(1));
    this.emit(geluForward(out, inp, rows.count));
    return out;
  }

  residual(out: Tensor, a: Tensor, b: Tensor, rows: Rows): Tensor {
    this.emit(residualForward(out, a, b, rows.count));
    return out;
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
    return { rows, inp, adapter: this.adapter("head", inp, rows, 0) };
  }

  /** The head, or the token table, in pieces whose logits [rows, classes] have at most `bytes`. */
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

  /** The head's weight; of a language model the token table. */
  get headWeight(): Parameter {
    return this.parameter(this.spec.task.objective === "lm" ? "wte.weight" : "head.weight");
  }

  get headBias(): Parameter | undefined {
    return this.parameters.all.get("head.bias");
  }

  /** The logits of a piece, into its columns of `out`; by default `out` has only these columns. */
  logits(
    { rows, inp, adapter }: Head,
    { weight, first }: HeadPiece,
    out: Tensor,
    at: Columns = { width: weight.shape[0]!, column: 0 },
  ): void {
    const [n, k] = weight.shape as [number, number];
    const bias = this.headBias;
    const place = { ldc: at.width, outOffset: at.column, ...(bias ? { bias: only(bias) } : {}) };
    this.emit(matmul({ out, a: inp, b: weight, transB: true, m: rows.count, n, k, ...place }));
    if (!adapter) return;
    const B = rowsFrom(adapter.B.pieces, { weight, first });
    this.emit(loraUp(out, adapter.down, B, rows.count, adapter.scale, at));
  }

  // ------------------------------------------------------------------------------------------- parameters

  parameter(name: string): Parameter {
    return this.parameters.all.get(name)!;
  }

  tensor(name: string): Tensor {
    return only(this.parameter(name));
  }
}

/** The rows of an adapter's B, or of its gradient, for a piece of the head. */
export function rowsFrom(pieces: TensorPiece[], { first, weight }: Pick<HeadPiece, "first" | "weight">): Tensor {
  const whole = only(pieces);
  const r = whole.shape[1]!;
  return whole.view(`${whole.name}+${first}`, [weight.shape[0]!, r], first * r);
}
