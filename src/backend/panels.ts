/**
 * Frozen weights [k, n] that only matrix products (and the norms of DoRA) use are stored in the layout that the
 * product's inner loop reads: panels of 8 columns, [n / 8][k][8], instead of plain rows, so that they are packed only
 * once.
 */
import { boundTensors, tensorAt } from "../ops/kernel.ts";
import type { Program } from "../plan/plan.ts";
import type { Tensor } from "../tensor.ts";

/** Columns of a panel. */
export const PANEL = 8;

/** The weights of a program that can be stored in panels. */
export function panelTensors({ segments }: Program): Set<Tensor> {
  const found = new Set<Tensor>();
  const refused = new Set<Tensor>();
  for (const dispatch of segments.flatMap(({ dispatches }) => dispatches)) {
    const { inBlocks, inPanels } = dispatch.kernel;
    const matrix = inPanels?.(dispatch) ? tensorAt(dispatch, inBlocks!) : null;
    for (const { tensor } of boundTensors(dispatch)) {
      const { root, shape, role } = tensor;
      const fits = role === "weight" && root === tensor && shape.length === 2 && shape[1]! % PANEL === 0;
      if (fits && tensor === matrix) found.add(tensor);
      else refused.add(root);
    }
  }
  for (const tensor of refused) found.delete(tensor);
  return found;
}

/** The bits of floats or halves. */
export type Bits = Uint32Array | Uint16Array;

/** Calls `copy` for every run of elements that are contiguous in both layouts: plain index, index in panels, count. */
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

/** Writes elements, starting at element `offset`, into a weight in panels. */
export function writePanels(into: Bits, shape: readonly number[], data: Bits, offset: number): void {
  eachRun(shape, offset, data.length, (plain, packed, count) => {
    for (let i = 0; i < count; i++) into[packed + i] = data[plain - offset + i]!;
  });
}

/** Reads elements, starting at element `offset`, from a weight in panels. */
export function readPanels(from: Bits, shape: readonly number[], data: Bits, offset: number): void {
  eachRun(shape, offset, data.length, (plain, packed, count) => {
    for (let i = 0; i < count; i++) data[plain - offset + i] = from[packed + i]!;
  });
}
