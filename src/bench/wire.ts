/** The download size of a tokenizer in a page: minified code and data, compressed. */
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { packagePath } from "#platform";
import type { Peer } from "./peers.ts";

/** Bytes after gzip at level 9; null if the sources or esbuild are missing (an installed package). */
export async function wireBytes({ wire }: Peer): Promise<number | null> {
  try {
    const esbuild = await import("esbuild");
    const bundle = await esbuild.build({
      stdin: { contents: wire.source, resolveDir: packagePath(".") },
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      logLevel: "silent",
    });
    const files = wire.files.map((file) => readFile(packagePath(file)));
    const parts = [...bundle.outputFiles.map(({ contents }) => contents), ...(await Promise.all(files))];
    return parts.reduce((n, part) => n + gzipSync(part, { level: 9 }).length, 0);
  } catch {
    return null;
  }
}
