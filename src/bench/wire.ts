/** What a page has to load for a tokenizer: its code, minified, and its data, compressed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { packagePath } from "#platform";
import type { Peer } from "./peers.ts";

/** Bytes after gzip at its best; null where the sources or esbuild are not at hand (an installed package). */
export async function wireBytes({ wire }: Peer, folder: string): Promise<number | null> {
  try {
    const esbuild = await import("esbuild");
    const bundle = await esbuild.build({
      stdin: { contents: wire.source, resolveDir: packagePath(".") },
      bundle: true,
      minify: true,
      write: false,
      outdir: folder,
      format: "esm",
      logLevel: "silent",
    });
    const files = wire.files.map((file) =>
      readFile("shipped" in file ? packagePath(file.shipped) : join(folder, file.prepared)),
    );
    const parts = [...bundle.outputFiles.map(({ contents }) => contents), ...(await Promise.all(files))];
    return parts.reduce((n, part) => n + gzipSync(part, { level: 9 }).length, 0);
  } catch {
    return null;
  }
}
