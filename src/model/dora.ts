/** The norms of a plan's matrices with DoRA: see ops/dora.ts. */
import { doraNorm } from "../ops/dora.ts";
import type { Dispatch } from "../ops/kernel.ts";
import type { AdapterGroup } from "../ops/lora.ts";
import type { Segment } from "../plan/plan.ts";
import { Tensor } from "../tensor.ts";

/** The lists of a plan share the norms, which are computed in a segment of their own, where a parameter has changed. */
export class Norms {
  private readonly byMatrix = new Map<Tensor, Tensor>();
  private readonly list: Dispatch[] = [];

  /** The norms [out] of a matrix W [in, out] with its adapters. */
  of(W: Tensor, groups: readonly AdapterGroup[]): Tensor {
    const known = this.byMatrix.get(W);
    if (known) return known;
    // Kept between two runs of a plan, as its results are.
    const norm = new Tensor(`${W.name}.norm`, [W.shape[1]!], "output");
    this.byMatrix.set(W, norm);
    this.list.push(...doraNorm(norm, W, groups));
    return norm;
  }

  /** The segment, if there are any. */
  get segments(): Segment[] {
    return this.list.length > 0 ? [{ name: "norms", clears: [], dispatches: this.list }] : [];
  }
}
