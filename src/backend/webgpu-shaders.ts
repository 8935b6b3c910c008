/** The WGSL of every kernel: the shader for a dispatch, its grid, and its source as compiled. */
import { ceilDiv, type Dispatch, type Grid, type Kernel, scalarOf } from "../ops/kernel.ts";
import { SHADERS } from "./generated/shaders.ts";
import { isGemv } from "./variants.ts";

type Dims = Record<string, number>;

/** A shader of shaders/ and its grid of workgroups. */
export interface Shader {
  name: string;
  grid: (dims: Dims) => Grid;
}

/** Products of any shape (wide); with few columns, whose lanes run along the rows (narrow); with few rows (gemv). */
const MATMUL = {
  wide: { name: "matmul_wide", grid: ({ m, n }: Dims) => [ceilDiv(n!, 64), ceilDiv(m!, 64), 1] },
  narrow: { name: "matmul_narrow", grid: ({ m, n }: Dims) => [ceilDiv(n!, 8), ceilDiv(m!, 128), 1] },
  gemv: {
    name: "matmul_gemv",
    grid: ({ m, n, b_col }: Dims) => [ceilDiv(n!, b_col === 1 ? 16 : 64), ceilDiv(m!, 4), 1],
  },
} as const satisfies Record<string, Shader>;

/** Largest number of columns for `narrow`. */
const NARROW = 16;

export function shaderOf(dispatch: Dispatch): Shader {
  const { name, grid } = dispatch.kernel;
  if (grid) return { name, grid };
  if (isGemv(dispatch)) return MATMUL.gemv;
  return (scalarOf(dispatch, "n") as number) <= NARROW ? MATMUL.narrow : MATMUL.wide;
}

/** The source of a shader: declarations from the kernel's definition, the prelude that its variants share, its own code. */
export function wgslOf(kernel: Kernel, shader: string): string {
  return [declarations(kernel), SHADERS[`${kernel.name}.prelude`] ?? "", SHADERS[shader]!].join("\n");
}

/** The names of all shaders of a kernel. */
export function shadersOf({ name, grid }: Kernel): string[] {
  return grid ? [name] : Object.values(MATMUL).map((shader) => shader.name);
}

/** Scalars, constants and bindings; for a binding that may be f16, also a function `<binding>_at` that reads an element. */
function declarations({ bindings, elements, dims }: Kernel): string {
  const names = Object.keys(dims);
  const fields = names.filter((dim) => dims[dim] !== "override").map((dim) => `  ${dim}: ${dims[dim]},`);
  const overrides = names.filter((dim) => dims[dim] === "override").map((dim) => `override ${dim}: u32;`);
  const buffers = Object.entries(bindings).map(([name, access], i) => {
    const space = access === "read" ? "storage, read" : "storage, read_write";
    return `@group(0) @binding(${i}) var<${space}> ${name}: array<${elements[name]}>;`;
  });
  const uniform = `@group(0) @binding(${buffers.length}) var<uniform> dims: Dims;`;
  const halves = names.filter((dim) => dim.endsWith("_half")).map((dim) => readHalf(dim.replace(/_half$/, "")));
  return ["struct Dims {", ...fields, "}", ...overrides, ...buffers, uniform, ...halves].join("\n");
}

const readHalf = (name: string) => `fn ${name}_at(i: u32) -> f32 {
  if (${name}_half != 0u) {
    return unpack2x16float(${name}[i >> 1u])[i & 1u];
  }
  return bitcast<f32>(${name}[i]);
}`;
