/** The WGSL of every kernel: the shader for a dispatch, its grid, and its source as compiled. */
import { ceilDiv, type Dispatch, type Grid, type Kernel, scalarOf, tensorAt } from "../ops/kernel.ts";
import { SHADERS } from "./generated/shaders.ts";
import { isGemv } from "./variants.ts";

type Dims = Record<string, number>;

/** A shader of shaders/ and its grid of workgroups. */
export interface Shader {
  /** The file's name, plus SCALAR if it reads single elements. */
  name: string;
  grid: (dims: Dims) => Grid;
}

/** A shader of a matrix product, and the preludes that it shares with others. */
interface Product extends Shader {
  preludes: readonly string[];
}

/** The element types of a and b if four elements are read at once. */
const FOUR = { a: "vec4f", b: "vec4u" };

/** Suffix of a shader that reads single elements, because four at once are not aligned. */
const SCALAR = ".scalar";

/** Large tiles; small tiles; results with few columns; with few rows; a decoding step's few rows. */
const PRODUCTS = {
  wide: {
    name: "matmul_wide",
    preludes: ["matmul_tile"],
    grid: ({ m, n }: Dims) => [ceilDiv(n!, 64), ceilDiv(m!, 64), 1],
  },
  middle: {
    name: "matmul_middle",
    preludes: ["matmul_tile"],
    grid: ({ m, n }: Dims) => [ceilDiv(n!, 32), ceilDiv(m!, 32), 1],
  },
  narrow: {
    name: "matmul_narrow",
    preludes: ["matmul_split", "matmul_parts"],
    grid: ({ m, n, a_col }: Dims) => [ceilDiv(n!, 8), ceilDiv(m!, a_col === 1 ? 4 : 16), 1],
  },
  flat: {
    name: "matmul_flat",
    preludes: ["matmul_split", "matmul_parts"],
    grid: ({ m, n, b_row }: Dims) => [ceilDiv(n!, b_row === 1 ? 4 : 16), ceilDiv(m!, 8), 1],
  },
  gemv: {
    name: "matmul_gemv",
    preludes: ["matmul_split"],
    grid: ({ m, n }: Dims) => [ceilDiv(n!, 16), ceilDiv(m!, 4), 1],
  },
} as const satisfies Record<string, Product>;

/** Results with at most this many columns, or a fixed number of at most so many rows, have too few tiles: lanes share the depth. */
const NARROW = 32;

/**
 * Large tiles are used if there are at least so many. If the number of rows changes from batch to batch, a quarter of the plan's
 * capacity counts, as is usual in a packed batch. Both sizes give the same bits.
 */
const MANY_TILES = 256;

/** The shader of a product. The order of its sums does not depend on the number of rows in the batch. */
function productOf(dispatch: Dispatch): Product {
  if (isGemv(dispatch)) return PRODUCTS.gemv;
  const [m, n] = [scalarOf(dispatch, "m"), scalarOf(dispatch, "n") as number];
  if (n <= NARROW) return PRODUCTS.narrow;
  if (typeof m === "number" && m <= NARROW) return PRODUCTS.flat;
  const rows = typeof m === "number" ? m : tensorAt(dispatch, "out").shape[0]! / 4;
  return ceilDiv(n, 64) * ceilDiv(rows, 64) >= MANY_TILES ? PRODUCTS.wide : PRODUCTS.middle;
}

/** Whether four neighbouring elements of a and b can be read at once: strides, offsets and sizes are multiples of 4 (f16: 8). */
function readsFour(dispatch: Dispatch): boolean {
  const [a, b] = [tensorAt(dispatch, "a"), tensorAt(dispatch, "b")];
  const scalar = (name: string) => scalarOf(dispatch, name) as number;
  const strideOf = (along: number, other: number) => (along === 1 ? other : along);
  return [
    scalar("a_offset"),
    strideOf(scalar("a_col"), scalar("a_row")),
    strideOf(scalar("b_row"), scalar("b_col")),
    a.size,
    b.dtype === "f16" ? b.size / 2 : b.size,
  ].every((count) => count % 4 === 0);
}

export function shaderOf(dispatch: Dispatch): Shader {
  const { name, grid } = dispatch.kernel;
  if (grid) return { name, grid };
  const product = productOf(dispatch);
  return readsFour(dispatch) ? product : { name: product.name + SCALAR, grid: product.grid };
}

/** The source of a shader: declarations from the kernel's definition, the preludes that its variants share, its own code. */
export async function wgslOf(kernel: Kernel, shader: string): Promise<string> {
  const file = shader.replace(SCALAR, "");
  const product = Object.values<Product>(PRODUCTS).find(({ name }) => name === file);
  const [reading, types] = file === shader ? ["matmul_vec4", FOUR] : ["matmul_scalar", {}];
  const preludes = product ? [reading, "matmul", "matmul_blocks", ...product.preludes] : [kernel.name];
  const code = SHADERS[file] ?? (await import("./generated/later-shaders.ts")).SHADERS[file]!;
  const shared = preludes.map((name) => SHADERS[`${name}.prelude`] ?? "");
  return [declarations(kernel, product && types), ...shared, code].join("\n");
}

/** The files of a kernel's shaders. */
export function shadersOf({ name, grid }: Kernel): string[] {
  return grid ? [name] : Object.values(PRODUCTS).map((shader) => shader.name);
}

/** The names of all shaders of a kernel that `wgslOf` prints. */
export function variantsOf(kernel: Kernel): string[] {
  const files = shadersOf(kernel);
  return kernel.grid ? files : files.flatMap((name) => [name, name + SCALAR]);
}

/**
 * Scalars, constants and bindings; for a binding that may be f16, also a function `<binding>_at` that reads an element. `types`
 * replace the element types of bindings; such a shader has its own functions to read them.
 */
function declarations({ bindings, elements, dims }: Kernel, types?: Record<string, string>): string {
  const names = Object.keys(dims);
  const fields = names.filter((dim) => dims[dim] !== "override").map((dim) => `  ${dim}: ${dims[dim]},`);
  const overrides = names.filter((dim) => dims[dim] === "override").map((dim) => `override ${dim}: u32;`);
  const buffers = Object.entries(bindings).map(([name, access], i) => {
    const space = access === "read" ? "storage, read" : "storage, read_write";
    return `@group(0) @binding(${i}) var<${space}> ${name}: array<${types?.[name] ?? elements[name]}>;`;
  });
  const uniform = `@group(0) @binding(${buffers.length}) var<uniform> dims: Dims;`;
  const halves = names.filter((dim) => dim.endsWith("_half")).map((dim) => dim.replace(/_half$/, ""));
  const readers = types ? [] : halves.map(readHalf);
  return ["struct Dims {", ...fields, "}", ...overrides, ...buffers, uniform, ...readers].join("\n");
}

const readHalf = (name: string) => `fn ${name}_at(i: u32) -> f32 {
  if (${name}_half != 0u) {
    return unpack2x16float(${name}[i >> 1u])[i & 1u];
  }
  return bitcast<f32>(${name}[i]);
}`;
