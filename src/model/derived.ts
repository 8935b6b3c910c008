/** Tensors that are functions of parameters alone: computed in a segment of their own, where a parameter has changed. */

import type { AdapterGroup } from "../ops/adapters.ts";
import { doraNorm } from "../ops/dora.ts";
import type { Dispatch } from "../ops/kernel.ts";
import type { Segment } from "../plan/plan.ts";
import { Tensor } from "../tensor.ts";

/** Those of a plan, which all of its lists share. */
export class Derived {
  private readonly norms = new Map<Tensor, Tensor>();
  /** Of what it computes only outputs last: until it runs again. */
  readonly list: Dispatch[] = [];

  /** DoRA's norms [out] of a matrix W [in, out] with its adapters: see ops/dora.ts. */
  norm(W: Tensor, groups: readonly AdapterGroup[]): Tensor {
    const known = this.norms.get(W);
    if (known) return known;
    const norm = new Tensor(`${W.name}.norm`, [W.shape[1]!], "output");
    this.norms.set(W, norm);
    this.list.push(...doraNorm(norm, W, groups));
    return norm;
  }

  /** The segment, if there are any. */
  get segments(): Segment[] {
    return this.list.length > 0 ? [{ name: "derived", clears: [], dispatches: this.list }] : [];
  }
}
