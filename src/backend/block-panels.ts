/**
 * Matrices in blocks, in panels: as src/core/blocks.ts describes, but with the codes of eight outputs next to each other,
 * [out / 8][in][8], and their blocks' scales or maxima, [out / 8][blocks][8]. Of q4 a byte has the codes of outputs t
 * and t + 4, the first in the upper half. In int16 pairs of inputs stand together, [out / 8][in / 2][8][2], and the
 * scales as they are.
 */
import { BLOCKS, type BlockDtype, layoutBlocks } from "../core/blocks.ts";
import { PANEL } from "./panels.ts";

/** Copies a tensor of `shape` [in, out] between the two layouts: into panels, or back. */
export function turnBlocks(
  into: Uint8Array,
  from: Uint8Array,
  shape: readonly number[],
  dtype: BlockDtype,
  isBack: boolean,
): void {
  const [inputs, outputs] = shape as [number, number];
  const { scales, nested } = layoutBlocks(dtype, inputs * outputs);
  const blocks = inputs / BLOCKS[dtype];
  if (dtype === "int16") {
    const pairs = ({ buffer, byteOffset }: Uint8Array) => new Uint32Array(buffer, byteOffset, scales / 4);
    turn(pairs(into), pairs(from), { at: 0, inputs: inputs / 2, outputs }, isBack);
    into.set(from.subarray(scales), scales);
  } else if (nested === undefined) {
    turn(into, from, { at: 0, inputs, outputs }, isBack);
    const halves = ({ buffer, byteOffset }: Uint8Array) =>
      new Uint16Array(buffer, byteOffset + scales, blocks * outputs);
    turn(halves(into), halves(from), { at: 0, inputs: blocks, outputs }, isBack);
  } else {
    turnPairs(into, from, inputs, outputs, isBack);
    turn(into, from, { at: scales, inputs: blocks, outputs }, isBack);
    into.set(from.subarray(nested), nested);
  }
}

/** [outputs][inputs] to or from [outputs / 8][inputs][8], from element `at` on. */
function turn<A extends Uint8Array | Uint16Array | Uint32Array>(
  into: A,
  from: A,
  { at, inputs, outputs }: { at: number; inputs: number; outputs: number },
  isBack: boolean,
): void {
  let panel = at;
  for (let first = 0; first < outputs; first += PANEL)
    for (let i = 0; i < inputs; i++) {
      let plain = at + first * inputs + i;
      for (let j = 0; j < PANEL; j++) {
        if (isBack) into[plain] = from[panel]!;
        else into[panel] = from[plain]!;
        plain += inputs;
        panel++;
      }
    }
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
        const [left, right] = [from[x]!, from[y]!];
        into[a] = (left & 0xf0) | (right >> 4);
        into[b] = (left << 4) | (right & 15);
      }
}
