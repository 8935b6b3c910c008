/**
 * Frozen weights [k, n] that only matrix products (and the norms of DoRA) use are stored in the layout that the
 * product's inner loop reads: panels of 8 columns, [n / 8][k][8], instead of plain rows, so that they are packed only
 * once.
 */

import type { Tensor } from "../core/tensor.ts";
import { boundTensors, tensorAt } from "../ops/kernel.ts";
import type { Program } from "../plan/plan.ts";

/** Columns of a panel. */
export const PANEL = 8;

/** The weights of a program that can be stored in panels. */
export function panelTensors({ segments }: Program): Set<Tensor> {
  const packed = new Set<Tensor>();
  const refused = new Set<Tensor>();
  for (const dispatch of segments.flatMap(({ dispatches }) => dispatches)) {
    const { inBlocks, inPanels } = dispatch.kernel;
    const matrix = inPanels?.(dispatch) ? tensorAt(dispatch, inBlocks!) : null;
    for (const { tensor } of boundTensors(dispatch)) {
      const { root, shape, role } = tensor;
      const fits = role === "weight" && root === tensor && shape.length === 2 && shape[1]! % PANEL === 0;
      if (fits && tensor === matrix) packed.add(tensor);
      else refused.add(root);
    }
  }
  for (const tensor of refused) packed.delete(tensor);
  return packed;
}

/** The bits of floats or halves; of blocks words. */
export type Bits = Uint32Array | Uint16Array;

/**
 * Visits the panels that have some of `count` elements from `offset` on, in rows of n: the panel's first column, and
 * which of its elements they are, from `first` to `end`.
 */
function eachPanel(
  n: number,
  offset: number,
  count: number,
  visit: (column: number, first: number, end: number) => void,
): void {
  for (let column = 0; column < n; column += PANEL) {
    const before = (at: number) => Math.floor(at / n) * PANEL + Math.min(Math.max((at % n) - column, 0), PANEL);
    const [first, end] = [before(offset), before(offset + count)];
    if (first < end) visit(column, first, end);
  }
}

/** Where elements of a weight are in its panels: the first byte and the bytes of each part. */
export function panelRuns({ shape, elementBytes }: Tensor, offset: number, count: number): [number, number][] {
  const runs: [number, number][] = [];
  const [k, n] = shape as [number, number];
  eachPanel(n, offset, count, (column, first, end) =>
    runs.push([(column * k + first) * elementBytes, (end - first) * elementBytes]),
  );
  return runs;
}

/** Copies elements of a weight: from rows to where the parts in `panelRuns` follow each other, or back. */
export function turnPanels(into: Bits, from: Bits, shape: readonly number[], offset: number, isBack: boolean): void {
  const n = shape[1]!;
  let packed = 0;
  eachPanel(n, offset, from.length, (column, first, end) => {
    for (let i = first; i < end; i++) {
      const plain = (i >> 3) * n + column + (i & 7) - offset;
      if (isBack) into[plain] = from[packed++]!;
      else into[packed++] = from[plain]!;
    }
  });
}
