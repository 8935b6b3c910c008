/**
 * What an architecture's file says of a block: the list before its attention and the one of its MLP, each with the
 * backward list that mirrors it. What lies between is common to all: see model.ts and decoder.ts.
 */
import type { Tensor } from "../tensor.ts";
import type { BackwardLayers } from "./backward-layers.ts";
import type { Layers, Linear, Norm, NormKernels, Output, Rows } from "./layers.ts";

/** The rows' positions: where their sequences begin in the batch [rows, 2], and the first position of a sequence. */
export interface Positions {
  bounds: Tensor;
  shift: number;
}

/** Before the attention: the norm, and queries, keys and values. */
export interface Queries {
  norm: Norm;
  qkv: Linear;
}

/** Behind the attention: the norm, the MLP's matrices, and what goes into the last one. */
export interface Mlp {
  norm: Norm;
  fc: Linear;
  inner: Tensor;
  proj: Output;
}

export interface Architecture {
  norm: NormKernels;
  /** Queries, keys and values [rows, (NH + 2 KV) HS] of the residual stream x [rows, C], in `out` if it is given. */
  queries(f: Layers, l: number, x: Tensor, rows: Rows, at: Positions & { out?: Tensor }): Queries;
  /** Makes of their gradient that of what the matrix gave, in place. */
  queriesBackward(b: BackwardLayers, dqkv: Tensor, at: Positions): void;
  /** out [rows, C] = x + the MLP of x. `saves`: a backward pass follows. */
  mlp(f: Layers, l: number, x: Tensor, rows: Rows, out: Tensor, saves: boolean): Mlp;
  /** The gradient of the MLP's input x from that of its output; null if nothing before the MLP is trained. */
  mlpBackward(b: BackwardLayers, mlp: Mlp, dx: Tensor): Tensor | null;
}
