/** `--device`: the list, one of several GPUs, and why there is none, with stand-ins for the package `webgpu`. */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { register } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(8));

/** A module in place of the package `webgpu`; its URL. */
function standIn(name: string, source: string): string {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(path, source);
  return pathToFileURL(path).href;
}

const asModule = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;
/** A hook that finds another module for `webgpu`, by its specifier. */
const hookTo = (webgpu: string) =>
  asModule(`export const resolve = (name, context, next) => next(name === "webgpu" ? "${webgpu}" : name, context);`);

/** Dawn with adapters of the names in `globalThis.ADAPTERS`, which lists and finds them; none provides a device. */
const DAWN = `
  globalThis.ADAPTERS ??= { names: [] };
  export function create(options) {
    const value = (key) => options.find((option) => option.startsWith(key + "="))?.slice(key.length + 1) ?? "";
    return {
      async requestAdapter() {
        const { names, heading = "Available adapters:", mark = "*" } = ADAPTERS;
        const name = names.find((one) => one.includes(value("adapter")));
        const line = (one) => "\\n " + mark + " backend: '" + value("backend") + "', name: '" + one + "'";
        if (name === undefined && names.length > 0)
          throw new Error("no adapter found\\n" + heading + names.map(line).join(""));
        if (name === undefined) return null;
        const requestDevice = async () => { throw new Error("[" + name + "] is asked for a device"); };
        return { info: { description: name }, features: new Set(), limits: {}, requestDevice };
      },
    };
  }`;
const dawn = standIn("dawn", DAWN);
register(hookTo(dawn));

/** Runs a command in this process, where Dawn has these adapters. */
function withAdapters(adapters: { names: string[]; heading?: string; mark?: string }) {
  return (name: Parameters<typeof runCommand>[0], ...args: string[]) => {
    Object.assign(globalThis, { ADAPTERS: adapters });
    return runCommand(name, args, { cwd: folder });
  };
}

const THREE = ["NVIDIA GeForce RTX 3080 Ti", "NVIDIA GeForce RTX 3080", "llvmpipe (LLVM 19.1.7, 256 bits)"];
const amongThree = withAdapters({ names: THREE });

/** The cells of the list's rows. */
const rowsOf = (stdout: string) =>
  stdout
    .split("\n")
    .filter((line) => /^│ (webgpu:\d|wasm) /.test(line))
    .map((line) => line.split("│").map((cell) => cell.trim()));

test("--device list prints the GPUs by index, with what they are, and the CPU", async () => {
  const listed = await amongThree("bench", "step", "--device", "list");
  assertCode(listed, 0);
  const rows = rowsOf(listed.stdout);
  assert.equal(
    rows.map(([, device, name]) => [device, name]).slice(0, 3),
    THREE.map((name, i) => [`webgpu:${i}`, name]),
  );
  assert.equal(
    rows.map((cells) => cells[4]),
    ["hardware", "cannot be opened", "software driver", ""],
  );
  assert.match(rows[3]![2]!, /^CPU, \d+ threads?/);
});

test("--device webgpu:INDEX and webgpu:NAME open one of several; an unknown one is refused with the list", async () => {
  const opened = async (word: string) => {
    const finished = await amongThree("bench", "step", "--device", `webgpu:${word}`);
    return [finished.code, /\[(.*)\]/.exec(finished.stderr)?.[1] ?? finished.stderr] as const;
  };
  assert.equal(await opened("nvidia"), [1, THREE[0]]);
  for (const word of ["2", "vulkan LLVM"]) assert.equal(await opened(word), [1, THREE[2]], word);
  const [code, unknown] = await opened("radeon");
  assert.is(code, 2);
  assert.match(unknown, "there is no such GPU");
  assert.match(unknown, `webgpu:1 (${THREE[1]}, vulkan)`);
  assert.match(unknown, /found: +webgpu:radeon/);
  const [hidden, why] = await opened("1");
  assert.is(hidden, 2);
  assert.match(why, "another one, earlier in the list, has its name");
});

test("a GPU that cannot be opened is refused before anything is written", async () => {
  for (const [name, args] of [
    ["train", ["--seeds", "2"]],
    ["sweep", ["--grid", "rank=4"]],
  ] as const) {
    const data = ["--model", "model", "--data", "messages.csv"];
    const { code, stderr } = await amongThree(name, ...data, ...args, "--device", "webgpu:nvidia");
    assert.is(code, 1);
    assert.match(stderr, `[${THREE[0]}] is asked for a device`);
    assert.not.ok(readdirSync(folder).includes("runs"), name);
  }
});

test("where Dawn lists no adapters, the one that it gives is the list, and Dawn refuses unknown names", async () => {
  const silent = withAdapters({ names: ["llvmpipe"], heading: "Others:", mark: "-" });
  const listed = await silent("bench", "step", "--device", "list");
  assert.equal(
    rowsOf(listed.stdout).map((cells) => cells.slice(1, 4).join()),
    ["webgpu:0,llvmpipe,webgpu", `wasm,${rowsOf(listed.stdout)[1]![2]},–`],
  );
  const refused = await silent("bench", "step", "--device", "webgpu:radeon");
  assertCode(refused, 1);
  assert.match(refused.stderr, /no adapter found\n {12}Others:/);
});

test("where there is no adapter, the reason is below the list, and refuses a GPU", async () => {
  const none = withAdapters({ names: [] });
  const listed = await none("bench", "step", "--device", "list");
  assertCode(listed, 0);
  assert.is(rowsOf(listed.stdout).length, 1);
  const words = ["no WebGPU adapter", "Vulkan, Metal or Direct3D 12 driver", "mesa-vulkan-drivers", "--device wasm"];
  for (const word of words) assert.ok(listed.stdout.includes(word), `"${word}" is not in ${listed.stdout}`);
  const used = await none("bench", "step", "--device", "webgpu:0");
  assertCode(used, 1);
  assert.match(used.stderr, "no WebGPU adapter");
});

/** The package as it is installed, but for its binaries. */
function withoutBinaries(name: string): string {
  mkdirSync(join(folder, name));
  cpSync(packagePath("node_modules/webgpu/index.js"), join(folder, name, "index.mjs"));
  return pathToFileURL(join(folder, name, "index.mjs")).href;
}

/** The list where the package `webgpu` is another module: in a process of its own, which loads it once. */
async function assertReason(webgpu: string, words: readonly string[]): Promise<void> {
  const preload = asModule(`import { register } from "node:module"; register(${JSON.stringify(hookTo(webgpu))});`);
  const listed = await runCommand("bench", ["step", "--device", "list"], {
    cwd: folder,
    node: ["--import", preload],
  });
  assertCode(listed, 0);
  assert.is(rowsOf(listed.stdout).length, 1);
  for (const word of [...words, "--device wasm"])
    assert.ok(listed.stdout.includes(word), `"${word}" is not below the list:\n${listed.stdout}`);
}

test("without the package webgpu the list says how to install it", () =>
  assertReason("no-such-package", ["the package webgpu is not installed", "npm install webgpu"]));

testAll("each reason for which the package cannot be loaded has its own sentence and hint", async () => {
  const damaged = withoutBinaries("damaged");
  const platform = process.platform === "darwin" ? "darwin-universal" : `${process.platform}-${process.arch}`;
  mkdirSync(join(folder, "damaged", "dist", platform), { recursive: true });
  writeFileSync(join(folder, "damaged", "dist", platform, "dawn.node"), "not a library");
  const glibc = "/lib/libc.so.6: version `GLIBC_2.34' not found (required by dawn.node)";
  const tooOld = `throw Object.assign(new Error(${JSON.stringify(glibc)}), { code: "ERR_DLOPEN_FAILED" });`;
  const reasons: [webgpu: string, words: string[]][] = [
    [withoutBinaries("elsewhere"), ["no binary for this system", `found:    ${process.platform} ${process.arch}`]],
    [standIn("old", `${tooOld} export const create = 0;`), ["GLIBC of this system is too old", "GLIBC 2.34 or newer"]],
    [damaged, ["binary of the package webgpu cannot be loaded", "dawn.node", "install the library"]],
  ];
  for (const [webgpu, words] of reasons) await assertReason(webgpu, words);
});
