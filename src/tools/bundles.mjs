/** How what runs in Node is bundled. */
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

/** Bundles all test files of the project in `root`, and what they run beside them, into build/test/; returns esbuild's metafile. */
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
