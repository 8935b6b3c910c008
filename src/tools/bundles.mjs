/** esbuild options for Node. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";

export const NODE_BUNDLE = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: true,
  packages: "external",
  loader: { ".wgsl": "text", ".py": "text" },
  logLevel: "warning",
};

/**
 * Where dist/ is made: what runs from it meanwhile must not read files of two builds. At the same depth, so that source
 * maps are right.
 */
export const NEW = "dist.new";

export const WASM = ["data", "tokenizer", "kernels", "kernels-relaxed"].map((name) => `${name}.wasm`);

/** As in src/platform/build.ts. */
const hashFile = (path) => {
  const bytes = readFileSync(path);
  return bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, bytes.length);
};

/** The constants of src/platform/build.ts, for a build whose inputs have this hash, and whose files are in a folder. */
export function buildConstants(hash, folder) {
  const files = [...WASM, "gpt2.tokenizer.bin"].map((name) => hashFile(join(folder, name)));
  return { BUILD: JSON.stringify(hash.slice(0, 8)), FILES: JSON.stringify(files) };
}

/** Those of what is in dist/. */
const builtConstants = (root) =>
  buildConstants(readFileSync(join(root, "build/dist.stamp"), "utf8"), join(root, "dist"));

/** Bundles a source file into one script for Node, which works with what is in dist/. */
export const bundleProgram = (source, outfile) =>
  esbuild.build({ ...NODE_BUNDLE, define: builtConstants("."), entryPoints: [source], outfile });

/**
 * Bundles the test files of `root`, and the programs that they spawn, into build/test/, as a part of what is in dist/.
 * Returns esbuild's metafile.
 */
export async function bundleTests(root) {
  const tests = readdirSync(join(root, "test"), { recursive: true }).map(String);
  const { metafile } = await esbuild.build({
    ...NODE_BUNDLE,
    absWorkingDir: root,
    entryPoints: tests.filter((path) => /\.(test|child)\.ts$/.test(path)).map((path) => join("test", path)),
    outdir: "build/test",
    outbase: "test",
    define: builtConstants(root),
    splitting: true,
    metafile: true,
  });
  return metafile;
}
