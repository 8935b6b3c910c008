/** Dropout's masks, one number at a time: the reference. */
import type { Mask } from "../../src/ops/dropout.ts";

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];

/** Threefry-2x32 with 20 rounds, as its paper has it: a key injection after every four rounds. */
export function threefry([k0, k1]: readonly [number, number], [c0, c1]: readonly [number, number]): [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ 0x1bd11bda];
  let [x, y] = [(c0 + k0) >>> 0, (c1 + k1) >>> 0];
  for (let round = 0; round < 20; round++) {
    const by = ROTATIONS[round % 8]!;
    x = (x + y) >>> 0;
    y = (((y << by) | (y >>> (32 - by))) ^ x) >>> 0;
    if (round % 4 < 3) continue;
    const injection = (round + 1) / 4;
    x = (x + keys[injection % 3]!) >>> 0;
    y = (y + keys[(injection + 1) % 3]! + injection) >>> 0;
  }
  return [x, y];
}

/** The factor of every element of a row of `cols`: 0 or the mask's scale. draw 0: nothing is dropped. */
export function maskRow(
  { seed, matrix, threshold, scale }: Mask,
  [draw, place]: readonly [number, number],
  cols: number,
) {
  return Float64Array.from({ length: cols }, (_, c) => {
    if (draw === 0) return 1;
    const counter = (place * (cols / 4) + Math.floor(c / 4)) >>> 0;
    const word = threefry([seed, matrix], [draw, counter])[Math.floor((c % 4) / 2)]!;
    const bits = c % 2 === 0 ? word & 0xffff : word >>> 16;
    return bits >= threshold ? scale : 0;
  });
}
