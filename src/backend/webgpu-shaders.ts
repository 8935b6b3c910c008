/** The WGSL of every kernel: the shader for a dispatch, its grid, and its source as compiled. */
import {
  ceilDiv,
  type Dispatch,
  type Fields,
  type Grid,
  isTable,
  type Kernel,
  scalarAt,
  tensorAt,
} from "../ops/kernel.ts";
import { decodeMatmulJobs, isAligned, SHORT } from "../ops/matmul.ts";
import { entryWords, SHARE, TABLE_ENTRIES } from "../ops/shares.ts";
import { SHADERS } from "./generated/shaders.ts";
import { isGemv } from "./variants.ts";

type Dims = Record<string, number>;

/** A shader of shaders/ and its grid of workgroups. */
export interface Shader {
  /** The file's name, plus SCALAR and QUANTIZED where they apply. */
  name: string;
  grid: (dims: Dims) => Grid;
}

/** A matrix product's shader, shaders/matmul_<variant>.wgsl, and the preludes it needs besides its kernel's. */
interface Product {
  variant: string;
  preludes: readonly string[];
  grid: (dims: Dims) => Grid;
}

/** Suffix of a shader that reads single elements, because four at once are not aligned. */
const SCALAR = ".scalar";
/** Suffix of a shader whose b is in blocks, of which four are always aligned. */
const QUANTIZED = ".quantized";

/** Large tiles; small tiles; results with few columns; with few rows; a decoding step's few rows. */
const PRODUCTS = {
  wide: {
    variant: "wide",
    preludes: ["matmul_tile"],
    grid: ({ m, n, batch }: Dims) => [ceilDiv(n!, 64), ceilDiv(m!, 64), batch ?? 1],
  },
  middle: {
    variant: "middle",
    preludes: ["matmul_tile"],
    grid: ({ m, n, batch }: Dims) => [ceilDiv(n!, 32), ceilDiv(m!, 32), batch ?? 1],
  },
  narrow: {
    variant: "narrow",
    preludes: ["parts"],
    grid: ({ m, n, batch }: Dims) => [ceilDiv(n!, 8), ceilDiv(m!, 4), batch!],
  },
  flat: {
    variant: "flat",
    preludes: ["parts"],
    grid: ({ m, n, batch }: Dims) => [ceilDiv(n!, 16), ceilDiv(m!, 8), batch!],
  },
  gemv: {
    variant: "gemv",
    preludes: [],
    grid: ({ m, n, batch }: Dims) => [ceilDiv(n!, 16), ceilDiv(m!, 4), batch ?? 1],
  },
} as const satisfies Record<string, Product>;

/** The kernels that are matrix products: the variants of each, and the preludes with its operands and its stores. */
const FAMILIES: Readonly<Record<string, { variants: readonly Product[]; preludes: readonly string[] }>> = {
  matmul: { variants: Object.values(PRODUCTS), preludes: ["matmul", "matmul_strided"] },
  matmul_grouped: {
    variants: [PRODUCTS.wide, PRODUCTS.middle, PRODUCTS.narrow, PRODUCTS.flat],
    preludes: ["shares", "matmul", "matmul_grouped"],
  },
  linear: {
    variants: [PRODUCTS.wide, PRODUCTS.middle, PRODUCTS.gemv],
    preludes: ["activation", "linear", "linear_whole"],
  },
  linear_grouped: {
    variants: [PRODUCTS.wide, PRODUCTS.middle],
    preludes: ["shares", "activation", "linear", "linear_grouped"],
  },
};

/** What the shaders of other kernels share. */
const PRELUDES: Readonly<Record<string, readonly string[]>> = {
  activation_forward: ["activation"],
  attention_forward: ["attention_tiles"],
  attention_query_backward: ["attention_tiles", "attention_backward"],
  attention_keyvalue_backward: ["attention_tiles", "attention_backward"],
  crossentropy_backward: ["shares"],
  crossentropy_loss: ["shares"],
  embedding_forward: ["table"],
  "embedding_forward.quantized": ["quantized", "table_quantized"],
  lora_backward: ["shares", "blocks", "parts"],
  matmul_bias_backward: ["shares"],
};

/**
 * Large tiles are used if there are at least this many. If the number of rows changes from batch to batch, a quarter of
 * the plan's capacity counts, as is usual in a packed batch. Both sizes give the same bits.
 */
const MANY_TILES = 256;

/** The shader of a product. If a side is short, lanes split the depth. Sums do not depend on the number of rows. */
function chooseProduct(dispatch: Dispatch): Product {
  const [m, n] = [scalarAt(dispatch, "m"), scalarAt(dispatch, "n") as number];
  const isMatmul = dispatch.kernel.name.startsWith("matmul");
  const isAlong = !isMatmul || scalarAt(dispatch, "a_col") === 1;
  if (isGemv(dispatch) && isAlong) return PRODUCTS.gemv;
  if (isMatmul && isAlong && n <= SHORT) return PRODUCTS.narrow;
  if (!isAlong && scalarAt(dispatch, "b_col") === 1 && typeof m === "number" && m <= SHORT) return PRODUCTS.flat;
  const rows = typeof m === "number" ? m : tensorAt(dispatch, "out").shape[0]! / 4;
  return ceilDiv(n, 64) * ceilDiv(rows, 64) >= MANY_TILES ? PRODUCTS.wide : PRODUCTS.middle;
}

/** Whether four elements of a and b can be read at once: strides, offsets and sizes are multiples of 4 (f16: 8). */
function readsFour(dispatch: Dispatch): boolean {
  const [a, b] = [tensorAt(dispatch, "a"), tensorAt(dispatch, "b")];
  if (dispatch.kernel.name === "matmul_grouped")
    return [a.size, b.size].every((count) => count % 4 === 0) && decodeMatmulJobs(dispatch).every(isAligned);
  const scalar = (name: string) => scalarAt(dispatch, name) as number;
  const stride = (along: number, other: number) => (along === 1 ? other : along);
  const counts = [stride(scalar("b_row"), scalar("b_col")), a.size, b.dtype === "f16" ? b.size / 2 : b.size];
  if (dispatch.kernel.name.startsWith("linear")) counts.push(scalar("k"));
  else counts.push(...["a_offset", "a_batch", "b_batch"].map(scalar), stride(scalar("a_col"), scalar("a_row")));
  return counts.every((count) => count % 4 === 0);
}

/** Whether the token table of an embedding is in blocks. */
function isTableInBlocks(dispatch: Dispatch): boolean {
  return dispatch.kernel.name === "embedding_forward" && tensorAt(dispatch, "wte").isInBlocks;
}

export function chooseShader(dispatch: Dispatch): Shader {
  const { name, grid } = dispatch.kernel;
  if (grid) return { name: isTableInBlocks(dispatch) ? `${name}${QUANTIZED}` : name, grid };
  const product = chooseProduct(dispatch);
  const reading = `${readsFour(dispatch) ? "" : SCALAR}${tensorAt(dispatch, "b").isInBlocks ? QUANTIZED : ""}`;
  return { name: `${name}_${product.variant}${reading}`, grid: product.grid };
}

/** The source of a shader: declarations from the kernel's definition, the preludes that shaders share, its own code. */
export async function assembleShader(kernel: Kernel, shader: string): Promise<string> {
  const [name] = shader.split(".");
  const family = FAMILIES[kernel.name];
  const product = family?.variants.find(({ variant }) => name === `${kernel.name}_${variant}`);
  const { types, readers } = operandReaders(shader);
  const preludes =
    family && product
      ? [...readers, "blocks", "matmul_blocks", ...family.preludes, ...product.preludes]
      : (PRELUDES[shader] ?? []);
  const file = product ? `matmul_${product.variant}` : kernel.name;
  const parts = await Promise.all([...preludes.map((name) => `${name}.prelude`), file].map(loadSource));
  return [declarations(kernel, product && types), ...parts].join("\n");
}

/** How a product reads a and b: the types of their elements, where they are not the kernel's, and the preludes. */
function operandReaders(shader: string): { types: Record<string, string>; readers: string[] } {
  const isScalar = shader.includes(SCALAR);
  const a = isScalar ? {} : { a: "vec4f" };
  const left = isScalar ? "left_scalar" : "left_vec4";
  if (shader.endsWith(QUANTIZED)) return { types: a, readers: [left, "quantized", "right_quantized"] };
  return isScalar
    ? { types: a, readers: [left, "right_scalar"] }
    : { types: { ...a, b: "vec4u" }, readers: [left, "right_vec4"] };
}

async function loadSource(file: string): Promise<string> {
  return SHADERS[file] ?? (await import("./generated/later-shaders.ts")).SHADERS[file]!;
}

/** The names of all shaders of a kernel that `assembleShader` prints. */
export function shaderVariants({ name }: Kernel): string[] {
  const variants = FAMILIES[name]?.variants.map(({ variant }) => `${name}_${variant}`);
  const readings = ["", SCALAR, QUANTIZED, SCALAR + QUANTIZED];
  if (variants) return variants.flatMap((shader) => readings.map((reading) => shader + reading));
  return [name, ...(Object.hasOwn(PRELUDES, name + QUANTIZED) ? [name + QUANTIZED] : [])];
}

/**
 * Scalars, constants and bindings; for a binding that may be f16, also a function `<binding>_at` that reads an element.
 * `types` replace the element types of bindings; such a shader has its own functions to read them.
 */
function declarations({ bindings, elements, dims, job }: Kernel, types?: Record<string, string>): string {
  const names = Object.keys(dims);
  const fields = names.filter((dim) => dims[dim] !== "override").map((dim) => `  ${dim}: ${dims[dim]},`);
  const overrides = names.filter((dim) => dims[dim] === "override").map((dim) => `override ${dim}: u32;`);
  const buffers = Object.entries(bindings).map(([name, access], i) => {
    const element = elements[name]!;
    if (isTable(element)) return `@group(0) @binding(${i}) var<uniform> ${name}: array<${element}, ${TABLE_ENTRIES}>;`;
    const space = access === "read" ? "storage, read" : "storage, read_write";
    return `@group(0) @binding(${i}) var<${space}> ${name}: array<${types?.[name] ?? element}>;`;
  });
  const uniform = `@group(0) @binding(${buffers.length}) var<uniform> dims: Dims;`;
  const halves = names.filter((dim) => dim.endsWith("_type")).map((dim) => dim.replace(/_type$/, ""));
  const readers = types ? [] : halves.map(readHalf);
  const used = new Set(Object.values(elements));
  const structs = [
    ...(used.has("Share") ? [struct("Share", SHARE)] : []),
    ...(used.has("Job") ? [struct("Job", job)] : []),
  ];
  return ["struct Dims {", ...fields, "}", ...structs, ...overrides, ...buffers, uniform, ...readers].join("\n");
}

/** The struct of a table's entry, filled up to a multiple of 16 bytes. */
function struct(name: string, fields: Fields): string {
  const entries = Object.entries(fields);
  const pads = Array.from({ length: entryWords(fields) - entries.length }, (_, i): [string, string] => [
    `pad${i}`,
    "u32",
  ]);
  return [`struct ${name} {`, ...[...entries, ...pads].map(([field, type]) => `  ${field}: ${type},`), "}"].join("\n");
}

const readHalf = (name: string) => `fn ${name}_at(i: u32) -> f32 {
  if (${name}_type != 0u) {
    return unpack2x16float(${name}[i >> 1u])[i & 1u];
  }
  return bitcast<f32>(${name}[i]);
}`;
