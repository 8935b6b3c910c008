/**
 * The backward methods of the layers: each takes what the forward method of its name returned, see layers.ts. Only what
 * trains loads it.
 *
 * Letters: C n_embd, R rank.
 */

import type { Place } from "../names.ts";
import { activationForward } from "../ops/activation.ts";
import { doraBackward } from "../ops/dora.ts";
import { embeddingBackward } from "../ops/embedding.ts";
import { gatherBackward } from "../ops/gather.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { type Activated, type LinearBackward, linearBackward } from "../ops/linear.ts";
import { type AdapterGroup, fitTogether, type LoraJob, loraBackward, loraUpBackward } from "../ops/lora.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { shareRows } from "../ops/shares.ts";
import type { Tensor } from "../tensor.ts";
import type { BatchInputs } from "./batch.ts";
import {
  type Adapters,
  adapterPart,
  HEAD,
  type Head,
  type HeadPiece,
  Layers,
  type Linear,
  type Norm,
  type Output,
  type Rows,
  rowsFrom,
  rowTensor,
} from "./layers.ts";
import { only, type Parameter } from "./parameters.ts";
import { trainsBelow } from "./trainable.ts";

/** What goes into the gradient of a layer's input: see `LinearBackward`. */
type NextBackward = Pick<LinearBackward, "activated" | "add">;

/** The inputs of the gradients of a matrix, its bias and its adapters. */
interface Gradients {
  of: Linear;
  /** The input of the matrix; a function recomputes it where it is needed. */
  x: Tensor | (() => Tensor);
  dy: Tensor;
}

export class BackwardLayers extends Layers {
  /** Whether a parameter before this place is trained. */
  readonly trainsBelow = trainsBelow(this.common.spec);

  // ---------------------------------------------------------------------------------------------- matrices

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
    if (this.common.dropout && adapters.length > 0) {
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
    const { draws } = this.common.batch!;
    for (const { group, ddown } of adapters)
      this.emit(this.common.dropout!.backward(place, { dx, ddown, group, activated }, draws!, shareRows(rows.count)));
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
      this.emit(...loraBackward(next, other, this.common.batch!));
    }
  }

  private biasBackward(bias: Parameter | undefined, dy: Tensor, { count }: Rows): void {
    if (bias?.grad) this.emit(matmulBiasBackward([{ dbias: only(bias.grad) }], dy, count, this.common.batch!));
  }

  // ------------------------------------------------------------------------------------------------- norms

  /** Recomputes the output of a norm. The kernel writes the statistics again, with the same values. */
  normAgain(norm: Norm): Tensor {
    const out = rowTensor(norm.name, norm.rows, [this.C]);
    this.normalise(norm, out);
    return out;
  }

  /**
   * The gradients of a norm's parameters and of its input. `dx`: the gradient of the input plus `add`, that of the
   * residual stream, or null if nothing before the norm is trained. `out` receives the norm's output, recomputed.
   */
  normBackward(norm: Norm, dout: Tensor, add?: Tensor): { dx: Tensor | null; out: () => Tensor } {
    const { name, weight, bias, rows } = norm;
    if (weight.grad && (!bias || bias.grad)) this.emit(this.common.normKernels.parametersBackward(norm, dout));
    else this.biasBackward(bias, dout, rows);
    if (!this.trainsBelow(weight)) return { dx: null, out: () => this.normAgain(norm) };
    const [dx, out] = [rowTensor(`d${name}.input`, rows, [this.C]), rowTensor(name, rows, [this.C])];
    this.emit(this.common.normKernels.backward(norm, dx, out, dout, add));
    return { dx, out: () => out };
  }

  // ------------------------------------------------------------------------------------------- token table

  /** The gradients of the token table's adapter from dx, that of the embedding. */
  tokenAdapterBackward(dx: Tensor, down: Tensor, rows: Rows, { ids, byId }: BatchInputs): void {
    const { A, B, r, scale: alpha } = this.tokenFactors()!;
    const ddown = rowTensor("wte.ddown", rows, [r]);
    const [m, n] = [rows.count, this.C];
    this.emit(matmul({ out: only(B.grad!), a: dx, b: down, transA: true, m: n, n: r, k: m, lda: n, alpha, beta: 1 }));
    this.emit(matmul({ out: ddown, a: dx, b: only(B), m, n: r, k: n, alpha }));
    this.emit(...embeddingBackward(A.grad!, ddown, ids, byId!.sorted, byId!.groups));
  }

  // -------------------------------------------------------------------------------------------- in between

  activate(inp: Tensor, out: Tensor, rows: Rows): Tensor {
    this.emit(activationForward(out, inp, rows.count, this.activation));
    return out;
  }

  /** The backward pass of `gather`: the gradients of the rows that sequences are classified at, 0 elsewhere. */
  scatter(dout: Tensor, selected: Tensor, rows: Rows): Tensor {
    const dinp = rowTensor(`${dout.name}.all`, rows, [this.C]);
    this.emit(gatherBackward(dinp, dout, selected));
    return dinp;
  }

  // -------------------------------------------------------------------------------------------------- head

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
      if (dout && !this.common.dropout) this.emit(matmul({ out: dout, a, b: only(A), m: k, n: C, k: r, beta: 1 }));
    }
    if (dout && this.common.dropout) this.droppedBackward(HEAD, dout, rows, adapters);
  }
}

/** dx += ddown A for adapter i of such a group. */
function addDown(dx: Tensor, ddown: Tensor, group: AdapterGroup, i: number, rows: Rows): Dispatch {
  const { count, r, input } = group;
  const place = { lda: count * r, aOffset: i * r };
  return matmul({ out: dx, a: ddown, b: adapterPart(group, "A", i), m: rows.count, n: input, k: r, beta: 1, ...place });
}
