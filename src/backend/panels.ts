/**
 * Frozen weights [k, n] that only matrix products (and the norms of DoRA) use are stored in the layout that the
 * product's inner loop reads: panels of 8 columns, [n / 8][k][8], instead of plain rows, so that they are packed only
 * once.
 *
 * Those in blocks are stored as src/blocks.ts describes, but with the codes of eight outputs next to each other,
 * [out / 8][in][8], and their blocks' scales or maxima, [out / 8][blocks][8]. Of q4 a byte has the codes of outputs t
 * and t + 4, the first in the upper half.
 */
import { BLOCKS, isBlockDtype, layoutBlocks } from "../blocks.ts";
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

/** The bits of floats or halves, or of blocks. */
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

/** Elements of a weight in the other layout: from rows, as the parts in `panelRuns` follow each other, or back. */
export function turnPanels({ dtype, shape }: Tensor, from: Bits, offset: number, isBack: boolean): Bits {
  const into = from.slice();
  const [inputs, outputs] = shape as [number, number];
  if (!isBlockDtype(dtype)) {
    turn(into, from, { inputs: outputs, outputs: 1 }, { outputs, offset, count: from.length }, isBack);
    return into;
  }
  const { scales, nested } = layoutBlocks(dtype, inputs * outputs);
  const blocks = inputs / BLOCKS[dtype];
  const whole = (inputs: number) =>
    [
      { inputs: 1, outputs: inputs },
      { outputs, offset: 0, count: inputs * outputs },
    ] as const;
  const bytes = (words: Bits) => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const halves = (words: Bits) => new Uint16Array(words.buffer, words.byteOffset + scales, blocks * outputs);
  if (nested === undefined) {
    turn(bytes(into), bytes(from), ...whole(inputs), isBack);
    turn(halves(into), halves(from), ...whole(blocks), isBack);
  } else {
    turnPairs(bytes(into), bytes(from), inputs, outputs, isBack);
    turn(bytes(into).subarray(scales), bytes(from).subarray(scales), ...whole(blocks), isBack);
  }
  return into;
}

/** Elements whose neighbours of another input, or of another output, are so many elements away, into panels or back. */
function turn<A extends Bits | Uint8Array>(
  into: A,
  from: A,
  away: { inputs: number; outputs: number },
  { outputs, offset, count }: { outputs: number; offset: number; count: number },
  isBack: boolean,
): void {
  let packed = 0;
  eachPanel(outputs, offset, count, (column, first, end) => {
    for (let i = first; i < end; i++) {
      const plain = (i >> 3) * away.inputs + (column + (i & 7)) * away.outputs - offset;
      if (isBack) into[plain] = from[packed++]!;
      else into[packed++] = from[plain]!;
    }
  });
}

/** The same for codes of 4 bits: two inputs in a byte, or two outputs. Both directions are the same exchange. */
function turnPairs(into: Uint8Array, from: Uint8Array, inputs: number, outputs: number, isBack: boolean): void {
  const HALF = PANEL / 2;
  for (let first = 0; first < outputs; first += PANEL)
    for (let i = 0; i < inputs; i += 2)
      for (let j = 0; j < HALF; j++) {
        const low = ((first + j) * inputs + i) / 2;
        const panel = (first * inputs) / 2 + i * HALF + j;
        const plain = [low, low + (HALF * inputs) / 2] as const;
        const [x, y] = isBack ? [panel, panel + HALF] : plain;
        const [a, b] = isBack ? plain : [panel, panel + HALF];
        const [one, two] = [from[x]!, from[y]!];
        into[a] = (one & 0xf0) | (two >> 4);
        into[b] = (one << 4) | (two & 15);
      }
}
