/** The source of a shader as it is compiled. */

import { WEIGHT_DTYPES } from "../core/tensor.ts";
import { entryWords, TABLE_ENTRIES } from "../ops/jobs.ts";
import { type Fields, isTable, type Kernel } from "../ops/kernel.ts";
import { NUMBERS } from "./generated/numbers.ts";
import { SHADERS } from "./generated/shaders.ts";
import type { Shader } from "./webgpu-shaders.ts";

/**
 * The host's numbers, declarations from the kernel's definition, the preludes that shaders share, the shader's code.
 */
export function assembleShader(kernel: Kernel, shader: Shader): string {
  const { preludes, file } = shader;
  const parts = [...preludes.map((name) => `${name}.prelude`), file].map((name) => SHADERS[name]!);
  return unroll([NUMBERS, declarations(kernel, shader), ...parts].join("\n"));
}

const LOOP = /@unroll for ?\(var (\w+) ?= ?0u; ?\1 ?< ?(\w+); ?\1\+\+\) ?\{/;

/**
 * Writes out the loops marked `@unroll`: `@unroll for (var i = 0u; i < 4u; i++) { x[i] = y; }` becomes four blocks,
 * with 0u to 3u in place of i; the limit may be a constant's name. Arrays and vectors of a lane that are indexed by a
 * loop's variable leave the registers where a compiler does not unroll the loop, as on Metal.
 */
export function unroll(code: string): string {
  const loop = LOOP.exec(code);
  if (!loop) return code;
  const [head, variable, limit] = loop;
  const count = Number.parseInt(new RegExp(`const ${limit} ?= ?(\\d+)u`).exec(code)?.[1] ?? limit!, 10);
  const rest = code.slice(loop.index + head.length);
  let end = 0;
  for (let open = 1; open > 0 && end < rest.length; end++) open += +(rest[end] === "{") - +(rest[end] === "}");
  const name = new RegExp(`(?<!\\.)\\b${variable}\\b`, "g");
  let blocks = "";
  for (let i = 0; i < count; i++) blocks += `{${rest.slice(0, end).replace(name, `${i}u`)}`;
  return unroll(code.slice(0, loop.index) + blocks + rest.slice(end));
}

/** Scalars, constants and bindings, and what reads those that may be of another type than f32. */
function declarations(kernel: Kernel, shader: Shader): string {
  const { bindings, optional, elements, dims, job } = kernel;
  const names = Object.keys(dims);
  const fields = names.filter((dim) => dims[dim] !== "override").map((dim) => `  ${dim}: ${dims[dim]},`);
  fields.push(...optional.map((name) => `  has_${name}: u32,`));
  const overrides = names.filter((dim) => dims[dim] === "override").map((dim) => `override ${dim}: u32;`);
  const buffers = Object.entries(bindings).map(([name, access], i) => {
    const element = elements[name]!;
    if (isTable(element)) return `@group(0) @binding(${i}) var<uniform> ${name}: array<${element}, ${TABLE_ENTRIES}>;`;
    const space = access === "read" ? "storage, read" : "storage, read_write";
    return `@group(0) @binding(${i}) var<${space}> ${name}: array<${shader.types?.[name] ?? element}>;`;
  });
  const uniform = `@group(0) @binding(${buffers.length}) var<uniform> dims: Dims;`;
  return [
    "struct Dims {",
    ...fields,
    "}",
    ...(job ? [struct("Job", job)] : []),
    ...overrides,
    ...buffers,
    uniform,
    ...readers(kernel, shader),
  ].join("\n");
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

/**
 * For a binding that may be f16, or in blocks, functions that read an element, `<binding>_at`, and four neighbours,
 * from a multiple of 4 on, `<binding>_four`. A product's shader has its own.
 */
function readers({ dims, bindings, inBlocks }: Kernel, { types, preludes }: Shader): string[] {
  if (types) return [];
  const typed = Object.keys(bindings).filter((name) => `${name}_type` in dims);
  return typed.map((name) => (name === inBlocks && preludes.includes("quantized") ? readBlocks : readElements)(name));
}

const F16 = WEIGHT_DTYPES.indexOf("f16");

const readElements = (name: string) => `fn ${name}_at(i: u32) -> f32 {
  if (${name}_type == ${F16}u) {
    return unpack2x16float(${name}[i >> 1u])[i & 1u];
  }
  return bitcast<f32>(${name}[i]);
}
fn ${name}_four(i: u32) -> vec4f {
  return vec4f(${name}_at(i), ${name}_at(i + 1u), ${name}_at(i + 2u), ${name}_at(i + 3u));
}`;

const readBlocks = (name: string) => `fn word(i: u32) -> u32 {
  return ${name}[i];
}
fn ${name}_four(i: u32) -> vec4f {
  return widen_quantized(quantized_at(i, ${name}_type), ${name}_type);
}
fn ${name}_at(i: u32) -> f32 {
  return ${name}_four(i / 4u * 4u)[i % 4u];
}`;
