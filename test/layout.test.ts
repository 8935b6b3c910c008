/** One op, one name; one description of a kernel on both sides of the border; imports that point down. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { listShaders, type Shader } from "../src/backend/webgpu-shaders.ts";
import { assembleShader, unroll } from "../src/backend/webgpu-source.ts";
import { MAX_HEAD_SIZE } from "../src/ops/attention.ts";
import { KERNELS } from "../src/ops/generated/kernels.ts";
import type { Kernel } from "../src/ops/kernel.ts";
import { test } from "./helpers/harness.ts";

const read = (path: string) => readFileSync(packagePath(path), "utf8");
const list = (folder: string, ending: string) =>
  readdirSync(packagePath(folder), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(ending))
    .sort();

/** Files of src/ops that describe kernels instead of being an op. */
const OPS = list("src/ops", ".ts").filter((name) => !/^(kernel|shares|jobs|adapters)\.ts$|^generated/.test(name));

test("every kernel is named after its op, and every shader belongs to a kernel", () => {
  const names = KERNELS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, "a name twice");
  for (const name of names)
    assert.ok(
      OPS.some((file) => name === basename(file, ".ts") || name.startsWith(`${basename(file, ".ts")}_`)),
      name,
    );
  const shaders = list("shaders", ".wgsl").filter((name) => !name.endsWith(".prelude.wgsl"));
  assert.equal(
    [...new Set(KERNELS.flatMap(listShaders).map(({ file }) => file))].sort(),
    shaders.map((name) => basename(name, ".wgsl")),
  );
});

test("what shaders and host count in is one number", () => {
  const numbers = (path: string, pattern: RegExp) =>
    [...read(path).matchAll(pattern)].map(([, ...n]) => Number(n.find(Boolean)));
  for (const [expected, path, pattern] of [
    ...["forward", "query_backward", "keyvalue_backward"].map(
      (name) => [MAX_HEAD_SIZE / 32, `shaders/attention_${name}.wgsl`, /array<mat4x4f, (\d+)>|\bc < (\d+)u/g] as const,
    ),
    [MAX_HEAD_SIZE / 16, "shaders/attention_cached.wgsl", /array<vec4f, (\d+)>|\bc < (\d+)u/g],
  ] as const) {
    const found = new Set(numbers(path, pattern));
    assert.equal([...found], [expected], path);
  }
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

async function checkShader(kernel: Kernel, shader: Shader): Promise<void> {
  const { bindings, shapes } = kernel;
  const { name, file, preludes } = shader;
  const whole = assembleShader(kernel, shader);
  const code = read(`shaders/${file}.wgsl`);
  const entries = [...code.matchAll(/@compute\s+@workgroup_size\([^)]*\)\s*fn (\w+)/g)].map(([, entry]) => entry);
  assert.equal(entries, ["main"], `${name}: entry points`);
  assert.not.match(code, /@binding|struct Dims|^override/m, `${name}: a declaration that follows from the kernel`);
  const shared = preludes.map((prelude) => read(`shaders/${prelude}.prelude.wgsl`));
  assert.ok(whole.endsWith(unroll([...shared, code].join("\n"))), name);

  // The bindings of a product are described in its kernel's prelude.
  const header = whole
    .split("\n")
    .filter((line) => line.startsWith("//"))
    .join("\n");
  for (const [binding, access] of Object.entries(bindings)) {
    const word = documented(header, binding);
    assert.ok(word !== undefined, `${name}: the header does not tell of ${binding}`);
    assert.ok(HEADER_WORDS[access].test(word), `${name}: ${binding} is "${access}", the header says "${word}"`);
  }
  if (shapes !== undefined)
    assert.is(documentedShapes(header, Object.keys(bindings)), shapes, `${name}: shapes in the header`);
  for (const part of ["Grid: ", "Reference: "]) assert.ok(header.includes(part), `${name}: no "${part}" in the header`);
}

for (const kernel of KERNELS)
  for (const shader of listShaders(kernel))
    test(`the header of shader ${shader.name} says what its kernel says`, () => checkShader(kernel, shader));

interface Source {
  /** From the package root: "src/ops/gelu.ts". */
  path: string;
  /** Without comments. */
  code: string;
  imports: string[];
}

const SOURCES: Source[] = [...list("src", ".ts"), ...list("src", ".tsx")]
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

/** The public API: what others import, and nothing here does. */
const API = ["src/index.ts", "src/globals.ts"];

/** The room that a file is in: "ops"; "" for one directly in src/, where only the API is. */
const fileRoom = (path: string) =>
  API.includes(path) || path.startsWith("src/entries/")
    ? "api"
    : (/^src\/(web\/(?:page|worker)|[^/]+)\//.exec(path)?.[1] ?? "");

/** The files under src/ that a source imports, by their paths. */
const within = ({ path, imports }: Source) =>
  imports
    .filter((name) => name.startsWith("."))
    .map((name) => normalize(join(dirname(path), name)))
    .filter((name) => name.startsWith("src/"));

/** The rooms from the ground up: each imports from itself and from those before it. */
const ROOMS = [
  ["core", "platform", "ops", "plan", "document", "methods", "labels", "tasks", "model", "backend", "io", "data"],
  // What needs no device; what runs a model on one; what writes and classifies; what trains; a run's record, and what is
  // shown of it; what a run leaves, what takes it elsewhere, what repeats runs.
  ["classic", "engine", "infer", "train", "record", "views", "run", "export", "study", "learner"],
  ["bench", "commands", "web", "web/worker", "web/page", "api"],
].flat();

/** Rooms that use less than what is below them. */
const ONLY: Record<string, string[]> = {
  ops: ["core"],
  plan: ["core", "ops"],
  document: ["core"],
  methods: ["core"],
  labels: ["core"],
  tasks: ["core", "document", "labels"],
  model: ["core", "ops", "plan", "methods", "tasks"],
  backend: ["core", "ops", "plan"],
  // The tensors of an adapter are those that its mode trains.
  io: ["core", "platform", "methods", "tasks", "model"],
  api: ROOMS.slice(0, ROOMS.indexOf("bench")),
};

test("imports point down", () => {
  assert.ok(SOURCES.length > 30, `only ${SOURCES.length} sources found`);
  const faults: string[] = [];
  for (const source of SOURCES) {
    const room = fileRoom(source.path);
    assert.ok(ROOMS.includes(room), `${source.path} is in no known room`);
    const allowed = [room, ...(ONLY[room] ?? ROOMS.slice(0, ROOMS.indexOf(room)))];
    // The page and its worker know each other by the protocol.
    if (room === "web/page") allowed.splice(allowed.indexOf("web/worker"), 1);
    // The client has the type of the worker's calls.
    for (const path of within(source))
      if (!allowed.includes(fileRoom(path)) && source.path !== "src/web/page/shared/client.ts")
        faults.push(`${source.path} imports ${path}`);
  }
  assert.equal(faults, []);
});

test("no file imports itself by way of others", () => {
  const imports = new Map(SOURCES.map((source) => [source.path, within(source)]));
  const done = new Set<string>();
  const visit = (path: string, trail: string[]) => {
    assert.not.ok(trail.includes(path), [...trail.slice(trail.indexOf(path)), path].join(" -> "));
    if (done.has(path)) return;
    for (const next of imports.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
});

test("ops, plan, methods, labels, tasks and model are pure: no Node, no platform, no GPU, no WebAssembly", () => {
  for (const { path, code, imports } of SOURCES) {
    if (!["ops", "plan", "methods", "labels", "tasks", "model"].includes(fileRoom(path))) continue;
    const outside = imports.filter((name) => !name.startsWith("."));
    assert.equal(outside, [], `${path} imports ${outside}`);
    const found = /\b(GPU[A-Z]\w*|navigator|WebAssembly|process|document|window|fetch)\b/.exec(
      code.replace(/"[^"]*"/g, ""),
    );
    assert.is(found, null, `${path} uses ${found?.[0]}`);
  }
});

test("test/README.md: the files that prove a promise exist", () => {
  const [, table] = read("test/README.md").split("## One promise, one place");
  const cells = table!.split("\n").flatMap((line) => (line.startsWith("|") ? line.split("|").slice(2, 4) : []));
  const paths = cells.flatMap((cell) => {
    const names = [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
    // The folder of the first one of a list is that of all.
    const folder = names[0]?.includes("/") ? `${dirname(names[0])}/` : "";
    return names.map((name) => (name.includes("/") || name.includes(".") ? name : folder + name));
  });
  assert.ok(paths.length > 50);
  for (const path of paths.filter((path) => !path.includes("*")))
    assert.ok(
      ["", ".test.ts"].some((end) => existsSync(packagePath(`test/${path}${end}`))),
      path,
    );
});

/** Node's side of the platform; its parts are seen through the first. */
const NODE = ["node", "node-disk", "node-gpu", "node-package", "node-workers"].map((name) => `src/platform/${name}.ts`);

test("Node, WGSL and the GPU are known to one file each", () => {
  for (const source of SOURCES) {
    const { path, code, imports } = source;
    const parts = within(source).filter((name) => NODE.includes(name));
    assert.equal(NODE.includes(path) ? [] : parts, [], `${path} imports a part of Node's side`);
    // The benchmark starts processes and asks the machine: it has no other side in a page.
    if (!NODE.includes(path) && fileRoom(path) !== "bench")
      assert.not.ok(
        imports.some((name) => name.startsWith("node:")),
        `${path} imports from Node`,
      );
    if (!path.startsWith("src/backend/generated/"))
      assert.not.ok(
        imports.some((name) => name.endsWith(".wgsl")),
        `${path} imports a shader`,
      );
    if (!/^src\/backend\/webgpu(-timer)?\.ts$/.test(path))
      assert.not.match(code, /\bGPUDevice\b|\.requestDevice\(/, path);
  }
});

/** Lines of code: neither blank nor only a comment. */
function countCode(text: string): number {
  let isComment = false;
  return text.split("\n").filter((line) => {
    const start = line.trim();
    const begins = !isComment && (start.startsWith("/*") || start.startsWith("{/*"));
    const isCode = !isComment && !begins && start !== "" && !start.startsWith("//");
    if ((begins || isComment) && !isCode) isComment = !start.includes("*/");
    return isCode;
  }).length;
}

/** How far a room may be below its number before the number is lowered. */
const SLACK = 60;

test("code lines: no room of src is larger than test/lines.json says, nor their sum", () => {
  const limits: Record<string, number> = JSON.parse(read("test/lines.json"));
  const counts: Record<string, number> = { src: 0 };
  for (const name of [...list("src", ".ts"), ...list("src", ".tsx")]) {
    if (/(^|\/)generated\//.test(name)) continue;
    const lines = countCode(read(`src/${name}`));
    for (const room of ["src", name.includes("/") ? `src/${name.split("/")[0]}` : "src/*"])
      counts[room] = (counts[room] ?? 0) + lines;
  }
  assert.equal(Object.keys(counts).sort(), Object.keys(limits).sort());
  const faults = Object.entries(counts).filter(([room, n]) => n > limits[room]! || n < limits[room]! - SLACK);
  assert.equal(
    faults.map(
      ([room, n]) =>
        `${room} has ${n}, test/lines.json says ${limits[room]}: ${n > limits[room]! ? "make it smaller" : "lower the number"}`,
    ),
    [],
  );
});
