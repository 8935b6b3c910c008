/** The package as npm packs it: what is in it, its command, and what a page's bundler makes of it. */
import { execFileSync, execSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import * as esbuild from "esbuild";
import * as assert from "uvu/assert";
import type { Rolldown } from "vite";
import { packagePath } from "#platform";
import { dependencies } from "../package.json";
import { temporaryFolder } from "./helpers/border.ts";
import { test, testAll } from "./helpers/harness.ts";
import { messages } from "./helpers/tiny.ts";

const folder = temporaryFolder();

/** Packs the package and unpacks it as a dependency of a project, with its command, beside what it depends on. */
function install(): string[] {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
      cwd: packagePath("."),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  ) as { filename: string; files: { path: string }[] }[];
  execFileSync("tar", ["-xzf", packed!.filename], { cwd: folder });
  mkdirSync(join(folder, "node_modules"));
  const modules = join(folder, "node_modules");
  renameSync(join(folder, "package"), join(modules, "lowrank"));
  mkdirSync(join(modules, ".bin"));
  symlinkSync("../lowrank/dist/lowrank.js", join(modules, ".bin/lowrank"));
  chmodSync(join(modules, "lowrank/dist/lowrank.js"), 0o755);
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(packagePath(`node_modules/${name}`), join(modules, name));
  }
  return packed!.files.map(({ path }) => path);
}

const files = install();

test("the package has what its entries load, in Node and in a page, and no page", () => {
  for (const path of [
    "dist/node.js",
    "dist/lowrank.js",
    "dist/types/src/index.d.ts",
    "dist/browser/index.js",
    "dist/browser/kernels-worker.js",
    "dist/kernels-worker.mjs",
    "dist/data.wasm",
    "dist/tokenizer.wasm",
    "dist/kernels.wasm",
    "dist/kernels-relaxed.wasm",
    "dist/gpt2.tokenizer.bin",
    "data/datasets/human-rights.txt",
    "data/datasets/languages.csv",
    "data/datasets/spam.csv",
    "data/datasets/spam.json",
    "data/models/gpt2-micro/model.safetensors",
    "data/models/e5-small-cut/e5-small-cut.gguf",
    "LICENSE",
  ])
    assert.ok(files.includes(path), `${path} is missing`);
  const others = files.filter((path) =>
    /^(dist\/web|assembly|build|data\/datasets\/make)\/|\.map$|^(src|test)\/.*\.([jt]sx?|mjs)$/.test(path),
  );
  assert.equal(others, []);
});

test("links between the package's documents lead to files that it has", () => {
  const broken = files
    .filter((path) => path.endsWith(".md"))
    .flatMap((path) => {
      const text = readFileSync(join(folder, "node_modules/lowrank", path), "utf8");
      const links = [...text.matchAll(/\]\((?!\w+:|#)([^)#]+)/g)].map(([, to]) => join(dirname(path), to!));
      return links.filter((to) => !files.some((file) => file === to || file.startsWith(`${to}/`)));
    });
  assert.equal(broken, []);
});

test("the notices name every package whose code is in the scripts for pages", () => {
  const maps = readdirSync(packagePath("dist/browser")).filter((path) => path.endsWith(".map"));
  const sources = maps.flatMap(
    (path) => JSON.parse(readFileSync(packagePath(`dist/browser/${path}`), "utf8")).sources as string[],
  );
  const names = new Set(sources.flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []));
  assert.ok(names.size > 5, [...names].join());
  const notices = readFileSync(join(folder, "node_modules/lowrank/dist/THIRD_PARTY.md"), "utf8").split("\n## ");
  for (const name of [...names, "assemblyscript"]) {
    const notice = notices.find((text) => text.startsWith(`${name} `));
    assert.match(notice ?? "", /copyright/i, `no notice of ${name}`);
  }
});

test("npx lowrank trains in a folder with a space in its path, and the command that it prints works as it stands", () => {
  const cwd = join(folder, "my project");
  mkdirSync(cwd);
  writeFileSync(join(cwd, "my data.csv"), messages(20));
  const run = (command: string) => execSync(command, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  // Installed without the optional peer: GPUs in Node.
  const trained = run('npx --no lowrank train --data "my data.csv" --model gpt2-micro --epochs 1 --out "my run"');
  assert.match(trained, /CPU, .* \((the package webgpu is not installed|no hardware GPU found)\)/);
  const hint = /^try it: {2}(npx lowrank classify --run "my run" .*)$/m.exec(trained)?.[1];
  assert.ok(hint, trained);
  assert.match(run(hint), /^(ham|spam)\t0\.\d{4}\t(see you at lunch|you have won a prize)/m);
  // The same command without npm, which takes longer than all else.
  const direct = "../node_modules/.bin/lowrank";
  assert.match(run(`${direct} help classify`), /^Usage: npx lowrank classify \[options\] /);
  assert.throws(
    () => run(`${direct} classify --run "my run" --device webgpu hello`),
    /the package webgpu is not installed\n +hint: +npm install webgpu, or use --device wasm\n$/,
  );
  assert.throws(() => run(`${direct} clasify --run x`), /unknown command 'clasify'\n\(Did you mean classify\?\)/);
});

/** Builds a program for a page as a bundler does; returns the chunks that it loads at once, and later on demand. */
async function bundle(source: string, splitting = true): Promise<{ bytes: number; later: string[] }> {
  const { metafile } = await esbuild.build({
    stdin: { contents: source, resolveDir: folder },
    bundle: true,
    splitting,
    minify: true,
    format: "esm",
    platform: "browser",
    outdir: join(folder, "out"),
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const entry = Object.keys(metafile.outputs).find((path) => metafile.outputs[path]!.entryPoint === "<stdin>")!;
  const loaded = new Set([entry]);
  const later: string[] = [];
  for (const path of loaded)
    for (const { path: other, kind } of metafile.outputs[path]!.imports)
      if (kind === "dynamic-import") later.push(other);
      else loaded.add(other);
  return { bytes: [...loaded].reduce((sum, path) => sum + metafile.outputs[path]!.bytes, 0), later };
}

test("a bundler drops training from a page that classifies, and keeps it where it is used", async () => {
  const isTraining = (path: string) => /fine-tune-/.test(path);
  const classifying = await bundle('import { Classifier } from "lowrank/engine"; globalThis.c = Classifier;');
  assert.ok(classifying.bytes > 10_000, `${classifying.bytes} bytes`);
  assert.equal(classifying.later.filter(isTraining), []);
  const training = await bundle('import { fineTune } from "lowrank/engine"; globalThis.f = fineTune;');
  assert.is(training.later.filter(isTraining).length, 1);
  const several = await bundle('import { study } from "lowrank/engine"; globalThis.s = study;');
  assert.is(several.later.filter((path) => /\bstudy-/.test(path)).length, 1);
  assert.is((await bundle('import "lowrank";')).bytes, 0, "an import for its effects alone has some");
  // In one file with all that is loaded on demand: what remains is what is not known to be free of effects.
  const inOne = async (name: string, entry: string) =>
    (await bundle(`import { ${name} } from "${entry}"; globalThis.x = ${name};`, false)).bytes;
  assert.ok((await inOne("Classifier", "lowrank/engine")) > 200_000, "the measure is wrong");
  assert.ok((await inOne("ConfigError", "lowrank")) < 8_000, "an error class is bundled with much else");
  assert.ok((await inOne("Tokenizer", "lowrank/data")) < 30_000, "a tokenizer is bundled with much else");
});

/** Runs a program in a folder; its arguments are those of `node`. */
const node = (cwd: string, ...args: string[]) => execFileSync(process.execPath, args, { cwd, encoding: "utf8" });

test("a bundled program in Node says that it lacks the package's files, and runs with a copy of them", async () => {
  const elsewhere = temporaryFolder();
  const contents = `
    import { setPackageUrl } from "lowrank";
    import { Tokenizer } from "lowrank/data";
    import { openDevice } from "lowrank/engine";
    if (process.argv[2]) setPackageUrl(process.argv[2]);
    Promise.all([Tokenizer.load(), openDevice("auto", { threads: 1 })]).then(([tokenizer, device]) => {
      console.log(tokenizer.encode("Hello, world!").join(" "), device.info.kind);
      device.destroy();
    }, ({ code, message }) => console.log(code, message));`;
  await esbuild.build({
    stdin: { contents, resolveDir: folder },
    bundle: true,
    minify: true,
    format: "cjs",
    platform: "node",
    outfile: join(elsewhere, "program.cjs"),
    logLevel: "silent",
  });
  assert.match(node(elsewhere, "program.cjs"), /^missing-package-file [\s\S]*setPackageUrl\(folder\)/);
  symlinkSync(join(folder, "node_modules/lowrank"), join(elsewhere, "files"), "junction");
  const done = "15496 11 995 0 wasm\n";
  assert.is(node(elsewhere, "program.cjs", "files"), done);
  assert.is(node(elsewhere, "program.cjs", pathToFileURL(join(elsewhere, "files")).href), done);
});

test("the build for pages says in Node what to import", () => {
  const load = `import { Embedder } from "lowrank/browser"; Embedder.load({ device: "wasm" }).catch(({ message }) => console.log(message));`;
  const said = node(folder, "--input-type=module", "--eval", load);
  assert.match(said, /this is the build of lowrank for pages\n[\s\S]*import "lowrank", not "lowrank\/browser"/);
});

test("what a page cannot import of the build for Node says what to import", () => {
  const file = "node_modules/lowrank/dist/index.js";
  const [, name] = /^export \* from "(#.*)";$/m.exec(readFileSync(join(folder, file), "utf8")) ?? [];
  assert.match(name!, /for-node-only.*dist\/browser\/index\.js$/);
  const load = `console.log(typeof (await import("./${file}")).train)`;
  assert.is(node(folder, "--input-type=module", "--eval", load), "function\n");
});

test("the worker of a page imports nothing and starts no worker, so that a bundler may bundle or copy it", () => {
  const code = readFileSync(join(folder, "node_modules/lowrank/dist/browser/kernels-worker.js"), "utf8");
  assert.not.match(code, /\bimport\b|\bnew (Worker|URL)\b/);
});

testAll("Vite builds a page without configuration, with the workers and the package's files", async () => {
  const { build } = await import("vite");
  const root = join(folder, "page");
  mkdirSync(root);
  writeFileSync(join(root, "index.html"), '<script type="module" src="./page.js"></script>');
  const built = async (imported: string) => {
    writeFileSync(join(root, "page.js"), `import { train } from "lowrank"; ${imported} globalThis.train = train;`);
    const bundle = await build({ root, configFile: false, logLevel: "silent", build: { write: false } });
    return (bundle as Rolldown.RolldownOutput).output.map(({ fileName }) => basename(fileName));
  };
  const [code, withBase] = [await built(""), await built('import "lowrank/bases/e5-small-cut";')];
  for (const name of ["train", "trainer", "kernels-worker", "data", "kernels-relaxed"])
    assert.is(code.filter((file) => file.startsWith(`${name}-`)).length, 1, `${name}: ${code}`);
  const data = (names: string[]) => names.filter((name) => /\.(gguf|safetensors|csv|txt)$/.test(name));
  assert.equal(data(code), []);
  assert.match(data(withBase).join(), /^e5-small-cut-[\w-]+\.gguf$/);
});

testAll("both entries have types that hold without this project's settings", () => {
  const source = `
    import { registerFile, train } from "lowrank";
    import { Classifier, fineTune, openDevice } from "lowrank/engine";
    import * as page from "lowrank/browser";
    export const classifier: Promise<Classifier> = openDevice().then((device) => Classifier.load("run", { device }));
    import "lowrank/bases/gpt2-micro";
    export const same: typeof train = page.train;
    export const register = (file: Blob) => registerFile("a.csv", file);
    // @ts-expect-error a rank is a number
    fineTune({ rank: "8" });
    // @ts-expect-error what runs plans is not the API's
    openDevice().then((device) => device.prepare);
  `;
  writeFileSync(join(folder, "page.mts"), source);
  const tsc = packagePath("node_modules/typescript/bin/tsc");
  for (const lib of ["es2022", "es2022,dom"])
    for (const module of ["esnext --moduleResolution bundler", "node16", "nodenext"]) {
      const options = `--noEmit --strict --target es2022 --lib ${lib} --module ${module}`;
      const args = [tsc, ...options.split(" "), "--types", "", "page.mts"];
      try {
        execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
      } catch (error) {
        assert.unreachable(`${options}: ${(error as { stdout: string }).stdout}`);
      }
    }
});

test("a package without the default base model says which file it lacks, and what to do", () => {
  rmSync(join(folder, "node_modules/lowrank/data/models/e5-small-cut/e5-small-cut.gguf"));
  writeFileSync(join(folder, "messages.csv"), messages(40));
  assert.throws(
    () => execSync("node_modules/.bin/lowrank train messages.csv", { cwd: folder, encoding: "utf8", stdio: "pipe" }),
    /a file of the package was not found\n +where: +.*e5-small-cut\.gguf\n +hint: +.*install lowrank again/,
  );
});
