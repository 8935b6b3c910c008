/**
 * Frozen matrices in 16, 8 or 4 bits. A matrix [in, out] is stored as [out, in], so that a block is neighbouring inputs
 * of one output; the token table [V, C] as it is. One buffer holds all of a tensor, in this order:
 *
 *   q8  codes i8 [size]; scales f16 [size / 32]. A value is code * scale. The numbers of GGUF's Q8_0.
 *   q4  codes [size / 2], two a byte, the first in the upper half; codes of the blocks' maxima u8 [size / 64]; from the
 *       next word on f32: the maxima of those in blocks of 256, their mean, the 256 values that the codes stand for
 *       (MAXIMA), the 16 of a weight (NF4). maximum = MAXIMA[code] * block's maximum + mean; a value is NF4[code] *
 *       maximum. The numbers of bitsandbytes' NF4 with double quantisation (QLoRA, Dettmers et al. 2023, section 3).
 *   int16  codes i16 [size] of 12 bits, from -2047 to 2047; scales f32, one a row: an output, or a token. A value is
 *       code * scale. The CPU multiplies such codes as they are (assembly/kernels/integers.ts).
 *
 * Every product and sum is rounded to f32.
 */

export type BlockDtype = "q8" | "q4" | "int16";

/** Weights of a block, which share a scale; in int16 a whole row does, which is a multiple of this. */
export const BLOCKS: Readonly<Record<BlockDtype, number>> = { q8: 32, q4: 64, int16: 8 };
/** The largest code of int16. */
export const MOST_CODE = 2047;
/** Maxima of a block in the second quantisation of q4. */
export const NESTED = 256;
/** Values of the two tables of q4. */
const TABLES = 256 + 16;

export const isBlockDtype = (dtype: string): dtype is BlockDtype => Object.hasOwn(BLOCKS, dtype);

/**
 * Where the parts of a tensor of `size` weights are, in bytes. In int16 there is room for a scale for each element of
 * its longer side: a tensor does not know whether its rows are its inputs.
 */
export function layoutBlocks(dtype: BlockDtype, size: number, longest = 0) {
  if (dtype === "int16") return { scales: 2 * size, end: 2 * size + 4 * longest };
  const blocks = size / BLOCKS[dtype];
  if (dtype === "q8") return { scales: size, end: Math.ceil((size + 2 * blocks) / 4) * 4 };
  const scales = size / 2;
  const nested = Math.ceil((scales + blocks) / 4) * 4;
  const mean = nested + 4 * Math.ceil(blocks / NESTED);
  return { scales, nested, mean, end: mean + 4 * (1 + TABLES) };
}

/** Bytes of a tensor of `size` weights, a whole number of blocks and of words. */
export function blockBytes(dtype: BlockDtype, size: number, longest = 0): number {
  return layoutBlocks(dtype, size, longest).end;
}
