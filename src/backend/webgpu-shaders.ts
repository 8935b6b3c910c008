/** The shaders of every kernel: which one computes a dispatch, its grid, and the files that it is made of. */
import {
  ceilDiv,
  type Dispatch,
  type Grid,
  isGemv,
  type Kernel,
  type Product,
  type ProductVariant,
  type Reading,
  scalarAt,
  tensorAt,
} from "../ops/kernel.ts";
import { isAligned, SHORT } from "../ops/matmul.ts";

type Dims = Record<string, number>;

/** A shader of shaders/ and its grid of workgroups. */
export interface Shader {
  /** The kernel's name, with the variant and the reading. */
  name: string;
  grid: (dims: Dims) => Grid;
  /** Its code in shaders/: that which it shares with others, then its own. */
  preludes: readonly string[];
  file: string;
  /** A product's: the types of a's and b's elements, where they are not the kernel's. It has functions to read them. */
  types?: Readonly<Record<string, string>>;
}

/** A variant of the matrix products: the preludes that it needs besides its kernel's; default of `file`: its own. */
interface ProductShader {
  file?: string;
  preludes: readonly string[];
  grid: (dims: Dims) => Grid;
}

const tileGrid =
  (side: number) =>
  ({ m, n, count = 1 }: Dims): Grid => [ceilDiv(n!, side), ceilDiv(m!, side), count];

/** Large tiles; small tiles; results with few columns; with few rows; a decoding step's few rows. */
const PRODUCTS: Readonly<Record<ProductVariant, ProductShader>> = {
  wide: {
    file: "matmul_tile",
    preludes: ["halves_2"],
    grid: tileGrid(64),
  },
  middle: {
    file: "matmul_tile",
    preludes: ["halves_1"],
    grid: tileGrid(32),
  },
  narrow: {
    preludes: ["parts"],
    grid: ({ m, n, count = 1 }: Dims) => [ceilDiv(n!, 8), ceilDiv(m!, 4), count],
  },
  flat: {
    preludes: ["parts"],
    grid: ({ m, n, count = 1 }: Dims) => [ceilDiv(n!, 16), ceilDiv(m!, 8), count],
  },
  gemv: {
    preludes: [],
    grid: ({ m, n, count = 1 }: Dims) => [ceilDiv(n!, 16), ceilDiv(m!, 4), count],
  },
};

/**
 * Large tiles are used if there are at least this many. If the number of rows changes from batch to batch, a quarter of
 * the plan's capacity counts, as is usual in a packed batch.
 */
const MANY_TILES = 256;

/**
 * The variant of a product, by its shape. If a side is short, lanes split the depth. Sums do not depend on the number
 * of rows: large and small tiles give the same bits.
 */
export function chooseVariant(dispatch: Dispatch): ProductVariant {
  const { variants, products } = dispatch.kernel;
  const [m, n] = [scalarAt(dispatch, "m"), scalarAt(dispatch, "n") as number];
  const [{ a_col, b_col }] = products!(dispatch) as [Product];
  const isAlong = a_col === 1;
  if (isGemv(dispatch) && isAlong) return "gemv";
  if (variants!.narrow && isAlong && n <= SHORT) return "narrow";
  if (!isAlong && b_col === 1 && typeof m === "number" && m <= SHORT) return "flat";
  const rows = typeof m === "number" ? m : tensorAt(dispatch, "out").shape[0]! / 4;
  return ceilDiv(n, 64) * ceilDiv(rows, 64) >= MANY_TILES ? "wide" : "middle";
}

/** Whether four elements of a and b can be read at once: strides, offsets and sizes are multiples of 4 (f16: 8). */
function readsFour(dispatch: Dispatch): boolean {
  const [a, b] = [tensorAt(dispatch, "a"), tensorAt(dispatch, "b")];
  const counts = [a.size, b.dtype === "f16" ? b.size / 2 : b.size];
  return counts.every((count) => count % 4 === 0) && dispatch.kernel.products!(dispatch).every(isAligned);
}

/** A shader of a kernel: of a product that of a variant. */
function makeShader(kernel: Kernel, reading: Reading, variant?: ProductVariant): Shader {
  const { name, grid, preludes = [] } = kernel;
  const isScalar = reading.startsWith(".scalar");
  const isQuantized = reading.endsWith(".quantized");
  if (!variant)
    return {
      name: `${name}${reading}`,
      grid: grid!,
      preludes: isQuantized ? ["quantized", "codes", ...preludes] : preludes,
      file: name,
    };
  const product = PRODUCTS[variant];
  const left = isScalar ? "left_scalar" : "left_vec4";
  const right = isScalar ? "right_scalar" : "right_vec4";
  const readers = [left, ...(isQuantized ? ["quantized", "right_quantized"] : [right])];
  return {
    name: `${name}_${variant}${reading}`,
    grid: product.grid,
    preludes: [...readers, "blocks", "matmul_blocks", ...preludes, ...product.preludes],
    file: product.file ?? `matmul_${variant}`,
    types: { ...(isScalar ? {} : { a: "vec4f" }), ...(isScalar || isQuantized ? {} : { b: "vec4u" }) },
  };
}

/** How the shader of a dispatch reads. */
function chooseReading(dispatch: Dispatch): Reading {
  const { inBlocks, variants } = dispatch.kernel;
  const blocks = inBlocks && tensorAt(dispatch, inBlocks).isInBlocks ? ".quantized" : "";
  return `${!variants || readsFour(dispatch) ? "" : ".scalar"}${blocks}`;
}

/** The shader of a dispatch. */
export function chooseShader(dispatch: Dispatch): Shader {
  const { kernel, variant } = dispatch;
  return makeShader(kernel, chooseReading(dispatch), kernel.variants && (variant ?? chooseVariant(dispatch)));
}

/** The scalars of a dispatch that are pipeline constants. */
export function pipelineConstants(dispatch: Dispatch): Record<string, number> {
  const { dims } = dispatch.kernel;
  const names = Object.keys(dims).filter((name) => dims[name] === "override");
  return Object.fromEntries(names.map((name) => [name, scalarAt(dispatch, name) as number]));
}

/** A shader with a dispatch's constants, as it is compiled: "activation_forward {"activation":1}". */
export const pipelineName = (dispatch: Dispatch) =>
  `${chooseShader(dispatch).name} ${JSON.stringify(pipelineConstants(dispatch))}`;

/** The shaders of dispatches. */
export const listPipelines = (dispatches: readonly Dispatch[]): string[] =>
  [...new Set(dispatches.map(pipelineName))].sort();

/** All shaders that a plan can use for a kernel. */
export function listShaders(kernel: Kernel): Shader[] {
  const { variants, inBlocks } = kernel;
  if (!variants)
    return ["" as const, ...(inBlocks ? [".quantized" as const] : [])].map((suffix) => makeShader(kernel, suffix));
  return (Object.entries(variants) as [ProductVariant, readonly Reading[]][]).flatMap(([variant, readings]) =>
    readings.map((reading) => makeShader(kernel, reading, variant)),
  );
}
