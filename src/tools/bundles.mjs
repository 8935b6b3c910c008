/** esbuild options for Node. */
import { readdirSync } from "node:fs";
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

/** Bundles the test files of `root`, and the programs that they spawn, into build/test/. Returns esbuild's metafile. */
export async function bundleTests(root) {
  const tests = readdirSync(join(root, "test"), { recursive: true }).map(String);
  const { metafile } = await esbuild.build({
    ...NODE_BUNDLE,
    absWorkingDir: root,
    entryPoints: tests.filter((path) => /\.(test|child)\.ts$/.test(path)).map((path) => join("test", path)),
    outdir: "build/test",
    outbase: "test",
    splitting: true,
    metafile: true,
  });
  return metafile;
}
