/** One op, one name; one description of a kernel on both sides of the border; imports that point down. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { PANEL } from "../src/backend/panels.ts";
import { SHADERS } from "../src/backend/shaders.ts";
import { hasRelaxedSimd } from "../src/backend/wasm.ts";
import { OPERATIONS, RECORD_WORDS } from "../src/backend/wasm-list.ts";
import { MAX_HEAD_SIZE } from "../src/ops/attention.ts";
import { LANES } from "../src/ops/gradnorm.ts";
import type { Kernel } from "../src/ops/kernel.ts";
import { KERNELS } from "../src/ops/kernels.ts";
import { test } from "./harness.ts";

const read = (path: string) => readFileSync(packagePath(path), "utf8");
const list = (folder: string, ending: string) =>
  readdirSync(packagePath(folder), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(ending))
    .sort();

/** Files of src/ops that describe kernels instead of being an op. */
const NO_OPS = ["kernel.ts", "kernels.ts"];
const OPS = list("src/ops", ".ts").filter((name) => !NO_OPS.includes(name));

test("every kernel has a shader and every shader a kernel, under one name", () => {
  const names = KERNELS.map(({ name }) => name).sort();
  assert.equal(new Set(names).size, names.length, "a name twice");
  assert.equal(
    list("shaders", ".wgsl").map((name) => basename(name, ".wgsl")),
    names,
  );
  assert.equal(Object.keys(SHADERS).sort(), names);
  for (const name of names) assert.is(SHADERS[name], read(`shaders/${name}.wgsl`), `SHADERS.${name} is another file`);
});

test("every kernel is defined in the file of its op, and every kernel that an op defines is in KERNELS", () => {
  const defined = OPS.flatMap((file) => {
    const op = basename(file, ".ts");
    const names = [...read(`src/ops/${file}`).matchAll(/defineKernel\(\s*"(\w+)"/g)].map(([, name]) => name!);
    for (const name of names) assert.ok(name === op || name.startsWith(`${op}_`), `${name} in ${file}`);
    return names;
  });
  assert.equal(defined.sort(), KERNELS.map(({ name }) => name).sort());
});

/** The parameters of an exported AssemblyScript function, or the fields of the record that it takes, as [name, type]. */
function wasmParameters(code: string, name: string): string[][] {
  const list = new RegExp(`^export function ${name}\\(([^)]*)\\): void`, "m").exec(code)?.[1] ?? "";
  const record = /^p: (\w+)$/.exec(list)?.[1];
  const fields = record === undefined ? list : new RegExp(`^export class ${record} \\{([^}]*)\\}`, "m").exec(code)![1]!;
  return [...fields.matchAll(/(\w+): (\w+)/g)].map(([, field, type]) => [field!, type!]);
}

test("every kernel has a WASM export in the file of its op, with the same arguments in the same order", () => {
  for (const wasm of hasRelaxedSimd() ? ["kernels", "kernels-relaxed"] : ["kernels"]) {
    const module = new WebAssembly.Module(readFileSync(packagePath(`dist/${wasm}.wasm`)));
    const names = WebAssembly.Module.exports(module).map(({ name }) => name);
    for (const { name } of KERNELS) assert.ok(names.includes(name), `kernels.wasm does not export ${name}`);
  }
  for (const { name, bindings, dims } of KERNELS) {
    const op = OPS.map((file) => basename(file, ".ts")).find((file) => name === file || name.startsWith(`${file}_`));
    const found = wasmParameters(read(`assembly/kernels/${op}.ts`), name);
    const expected = [
      ...Object.keys(bindings).map((binding) => [binding, "usize"]),
      ...Object.entries(dims).map(([dim, type]) => [dim, type === "f32" ? "f32" : "u32"]),
    ];
    assert.equal(found, expected, name);
  }
});

test("the interpreter in WASM numbers its operations as the host does", () => {
  const cases = [...read("assembly/kernels/replay.ts").matchAll(/case (\d+):\s*return (\w+)\(/g)];
  assert.equal(
    cases.map(([, number, name]) => [Number(number), name]),
    OPERATIONS.map((name, number) => [number, name]),
  );
});

test("what kernels and host count in is one number", () => {
  const numbers = (path: string, pattern: RegExp) => [...read(path).matchAll(pattern)].map(([, n]) => Number(n));
  for (const [expected, path, pattern] of [
    [RECORD_WORDS * 4, "assembly/kernels/replay.ts", /RECORD_BYTES: u32 = (\d+)/g],
    [PANEL, "assembly/kernels/panels.ts", /const PANEL: u32 = (\d+)/g],
    [LANES, "assembly/kernels/gradnorm.ts", /const LANES: u32 = (\d+)/g],
    [LANES, "shaders/gradnorm_partial.wgsl", /(?:LANES = |@workgroup_size\()(\d+)/g],
    ...["forward", "query_backward", "keyvalue_backward"].map(
      (name) => [MAX_HEAD_SIZE / 4, `shaders/attention_${name}.wgsl`, /array<vec4f, (\d+)>/g] as const,
    ),
  ] as const) {
    const found = new Set(numbers(path, pattern));
    assert.equal([...found], [expected], path);
  }
  // An argument more than a record holds would run into the next one.
  for (const { name, bindings, dims } of KERNELS)
    assert.ok(Object.keys(bindings).length + Object.keys(dims).length < RECORD_WORDS, name);
});

test("every op has its test", () => {
  for (const file of OPS) {
    const path = `test/ops/${basename(file, ".ts")}.test.ts`;
    assert.ok(existsSync(packagePath(path)), `${path} is missing`);
  }
});

/** What the header says of a binding: "//   out  (write)  [rows, cols]" gives "write". */
function documented(header: string, binding: string): string | undefined {
  return new RegExp(`^//   ${binding} +\\((.*?)\\) +\\S`, "m").exec(header)?.[1];
}

/** The shapes of a kernel's bindings in the header of its shader, in the kernel's notation. */
function documentedShapes(header: string, bindings: readonly string[]): string {
  const shapes = bindings.map((binding) => new RegExp(`^//   ${binding} .*?\\)  +\\[(.*?)\\]`, "m").exec(header)?.[1]);
  return shapes.map((shape) => shape?.replaceAll(", ", " ").replaceAll(" + ", "+")).join(", ");
}

const HEADER_WORDS = { read: /^read$/, write: /^write\b/, update: /^(updates|accumulates)\b|^write, read where/ };

function checkShader({ name, bindings, dims, shapes }: Kernel): void {
  const code = read(`shaders/${name}.wgsl`);
  const entries = [...code.matchAll(/@compute\s+@workgroup_size\([^)]*\)\s*fn (\w+)/g)].map(([, entry]) => entry);
  assert.equal(entries, ["main"], `${name}: entry points`);

  const struct = /struct Dims \{([^}]*)\}/.exec(code);
  assert.ok(struct, `${name}: no struct Dims`);
  const fields = [...struct[1]!.matchAll(/(\w+)\s*:\s*(\w+)/g)].map(([, field, type]) => [field, type]);
  const inStruct = Object.entries(dims).filter(([, type]) => type !== "override");
  assert.equal(fields, inStruct, `${name}: the fields of Dims`);
  const overrides = [...code.matchAll(/^override (\w+)/gm)].map(([, constant]) => constant);
  const constants = Object.keys(dims).filter((dim) => dims[dim] === "override");
  assert.equal(overrides, constants, `${name}: pipeline constants`);

  const declared = [
    ...code.matchAll(/@group\(0\) @binding\((\d+)\) var<(storage, read_write|storage, read|uniform)> (\w+):/g),
  ].map(([, number, space, binding]) => [Number(number), space, binding]);
  const expected = Object.entries(bindings).map(([binding, access], i) => [
    i,
    access === "read" ? "storage, read" : "storage, read_write",
    binding,
  ]);
  assert.equal(declared, [...expected, [expected.length, "uniform", "dims"]], `${name}: bindings`);
  assert.is(code.match(/@binding/g)!.length, declared.length, `${name}: a binding that this test does not see`);

  const header = code.slice(0, code.search(/^(?!\/\/)/m));
  for (const [binding, access] of Object.entries(bindings)) {
    const word = documented(header, binding);
    assert.ok(word !== undefined, `${name}: the header does not tell of ${binding}`);
    assert.ok(HEADER_WORDS[access].test(word), `${name}: ${binding} is "${access}", the header says "${word}"`);
  }
  if (shapes !== undefined)
    assert.is(documentedShapes(header, Object.keys(bindings)), shapes, `${name}: shapes in the header`);
  for (const part of ["Grid: ", "Reference: "]) assert.ok(header.includes(part), `${name}: no "${part}" in the header`);
}

for (const kernel of KERNELS) test(`shader ${kernel.name} is what its kernel says`, () => checkShader(kernel));

interface Source {
  /** From the package root: "src/ops/gelu.ts". */
  path: string;
  /** Without comments. */
  code: string;
  imports: string[];
}

const SOURCES: Source[] = list("src", ".ts")
  .filter((name) => !name.startsWith("tools/") && !name.endsWith(".d.ts"))
  .map((name) => {
    const path = `src/${name}`;
    const code = read(path)
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .replace(/^\s*\/\/.*$/gm, "");
    const found = [
      ...code.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm),
    ];
    return { path, code, imports: found.map(([, a, b, c]) => a ?? b ?? c!) };
  });

/** The folder under src/ that a path lies in: "ops", or "" for files directly in src/. */
const folderOf = (path: string) => /^src\/([^/]+)\//.exec(path)?.[1] ?? "";

/** The files under src/ that a source imports, by their paths. */
const within = ({ path, imports }: Source) =>
  imports
    .filter((name) => name.startsWith("."))
    .map((name) => normalize(join(dirname(path), name)))
    .filter((name) => name.startsWith("src/"));

/** A file directly in src/ is a foundation if it imports only such files; the others are commands and what they share. */
const isCommand = (source: Source) =>
  folderOf(source.path) === "" && within(source).some((path) => folderOf(path) !== "");
const COMMANDS = new Set(SOURCES.filter(isCommand).map(({ path }) => path));
/** Where commands that need more than one file have the others. */
const COMMAND_FOLDERS = ["bench", "sweep", "web"];

/** What each of the lower folders may import from; those above them may use everything but commands and the page. */
const BELOW: Record<string, string[]> = {
  "": [""],
  platform: ["", "platform"],
  ops: ["", "ops"],
  plan: ["", "ops", "plan"],
  model: ["", "ops", "plan", "model"],
  backend: ["", "ops", "plan", "backend"],
};

test("imports point down", () => {
  assert.ok(SOURCES.length > 30, `only ${SOURCES.length} sources found`);
  for (const source of SOURCES) {
    if (COMMANDS.has(source.path)) continue;
    const folder = folderOf(source.path);
    for (const path of within(source)) {
      const target = folderOf(path);
      const fault = `${source.path} imports ${path}`;
      assert.ok(COMMAND_FOLDERS.includes(folder) || (!COMMAND_FOLDERS.includes(target) && !COMMANDS.has(path)), fault);
      if (folder in BELOW) assert.ok(BELOW[folder]!.includes(target), fault);
    }
  }
});

test("ops, plan and model are pure: no Node, no platform, no GPU, no WebAssembly", () => {
  for (const { path, code, imports } of SOURCES) {
    if (!["ops", "plan", "model"].includes(folderOf(path))) continue;
    const outside = imports.filter((name) => !name.startsWith("."));
    assert.equal(outside, [], `${path} imports ${outside}`);
    const found = /\b(GPU[A-Z]\w*|navigator|WebAssembly|process|document|window|fetch)\b/.exec(
      code.replace(/"[^"]*"/g, ""),
    );
    assert.is(found, null, `${path} uses ${found?.[0]}`);
  }
});

test("Node, WGSL and the GPU are known to one file each", () => {
  for (const { path, code, imports } of SOURCES) {
    // The benchmark starts processes and asks the machine: it has no other side in a page.
    if (path !== "src/platform/node.ts" && folderOf(path) !== "bench")
      assert.not.ok(
        imports.some((name) => name.startsWith("node:")),
        `${path} imports from Node`,
      );
    if (path !== "src/backend/shaders.ts")
      assert.not.ok(
        imports.some((name) => name.endsWith(".wgsl")),
        `${path} imports a shader`,
      );
    if (path !== "src/backend/webgpu.ts") assert.not.match(code, /\bGPUDevice\b|\.requestDevice\(/, path);
  }
});
