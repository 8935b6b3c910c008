/**
 * Frozen weights [k, n] that only matrix products use are kept in the form in which the product's inner loop reads them:
 * panels of 8 columns, [n / 8][k][8], in place of the plain rows, so that no step packs them again.
 */
import { type Dispatch, scalarOf, tensorAt } from "../ops/kernel.ts";
import { matmulKernel } from "../ops/matmul.ts";
import type { Program } from "../plan/plan.ts";
import type { Tensor } from "../tensor.ts";

/** Columns of a panel: PANEL in assembly/kernels/panels.ts. */
export const PANEL = 8;

/** Whether a dispatch is a product that reads the whole of b, as it is or transposed. */
function readsWhole(dispatch: Dispatch): boolean {
  if (dispatch.kernel !== matmulKernel) return false;
  const [k, n] = tensorAt(dispatch, "b").shape;
  const dim = (name: string) => scalarOf(dispatch, name);
  if (dim("b_col") === 1) return dim("b_row") === n && dim("k") === k && dim("n") === n;
  return dim("b_row") === 1 && dim("b_col") === n && dim("k") === n && dim("n") === k;
}

/** The weights of a program that can live in panels. */
export function panelTensors({ segments }: Program): Set<Tensor> {
  const found = new Set<Tensor>();
  const refused = new Set<Tensor>();
  for (const dispatch of segments.flatMap(({ dispatches }) => dispatches)) {
    const b = readsWhole(dispatch) ? tensorAt(dispatch, "b") : null;
    for (const tensor of dispatch.tensors) {
      const { root, shape, role } = tensor;
      const fits = role === "weight" && root === tensor && shape.length === 2 && shape[1]! % PANEL === 0;
      if (fits && tensor === b) found.add(tensor);
      else refused.add(root);
    }
  }
  for (const tensor of refused) found.delete(tensor);
  return found;
}

/** Numbers by their bits: floats, or halves. */
export type Bits = Uint32Array | Uint16Array;

/** Calls `copy` for every run of numbers that lie side by side in both forms: plain place, place in panels, count. */
function eachRun(
  shape: readonly number[],
  offset: number,
  count: number,
  copy: (plain: number, packed: number, count: number) => void,
): void {
  const [k, n] = shape as [number, number];
  for (let at = offset; at < offset + count; ) {
    const row = Math.floor(at / n);
    const column = at % n;
    const run = Math.min(PANEL - (column % PANEL), offset + count - at);
    copy(at, Math.floor(column / PANEL) * k * PANEL + row * PANEL + (column % PANEL), run);
    at += run;
  }
}

/** Writes plain numbers, from element `offset` on, into a weight that is kept in panels; all by their bits. */
export function writePanels(into: Bits, shape: readonly number[], data: Bits, offset: number): void {
  eachRun(shape, offset, data.length, (plain, packed, count) => {
    for (let i = 0; i < count; i++) into[packed + i] = data[plain - offset + i]!;
  });
}

/** Reads plain numbers, from element `offset` on, out of a weight that is kept in panels; all by their bits. */
export function readPanels(from: Bits, shape: readonly number[], data: Bits, offset: number): void {
  eachRun(shape, offset, data.length, (plain, packed, count) => {
    for (let i = 0; i < count; i++) data[plain - offset + i] = from[packed + i]!;
  });
}
