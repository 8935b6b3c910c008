/**
 * URLs of the package's files in a page. Paths are relative to the package's root, as in Node. Bundlers find and copy
 * what is a literal: the code's own files, and those of a base model that is imported (src/entries).
 */
import { packageUrl } from "./package-url.ts";

/** The files that the code needs, relative to the built files in a folder of dist/. */
const OWN: Readonly<Record<string, () => URL>> = {
  "dist/data.wasm": () => new URL("../data.wasm", import.meta.url),
  "dist/tokenizer.wasm": () => new URL("../tokenizer.wasm", import.meta.url),
  "dist/kernels.wasm": () => new URL("../kernels.wasm", import.meta.url),
  "dist/kernels-relaxed.wasm": () => new URL("../kernels-relaxed.wasm", import.meta.url),
  "dist/gpt2.tokenizer.bin": () => new URL("../gpt2.tokenizer.bin", import.meta.url),
};

/** Data that is beside them, or that a bundler has copied, by name in data/. */
const DATA = [
  ...["human-rights.txt", "languages.csv", "spam.csv"].map((name) => `datasets/${name}`),
  ...["config.json", "model.safetensors", "vocab.json", "merges.txt"].map((name) => `models/gpt2-micro/${name}`),
  "models/e5-small-cut/e5-small-cut.gguf",
];

/** Where this code is: with a literal in its place bundlers would copy all data. */
const here = import.meta.url;
const copied = new Map<string, URL>();

/** Says where a bundler has put files of data/. */
export function placeData(folder: string, files: Readonly<Record<string, URL>>): void {
  for (const [name, url] of Object.entries(files)) copied.set(`data/${folder}/${name}`, url);
}

const PACKAGE = "package:";

/** A path that stands for a file or folder of the package. */
export function packagePath(name: string): string {
  return PACKAGE + name;
}

export function isPackagePath(path: string): boolean {
  return path.startsWith(PACKAGE);
}

export function packageFiles(): string[] {
  return [...Object.keys(OWN), ...DATA.map((name) => `data/${name}`)].map(packagePath);
}

/** The URL of a file of the package; undefined if there is none. */
export function assetUrl(path: string): URL | undefined {
  if (!packageFiles().includes(path)) return undefined;
  const name = path.slice(PACKAGE.length);
  const folder = packageUrl();
  if (folder !== undefined) return new URL(name, folder);
  return copied.get(name) ?? OWN[name]?.() ?? new URL(`../../${name}`, here);
}

/**
 * The URL of the worker where the page has said where it is, or next to the package's files on another origin, from
 * which none starts directly. Undefined: it is where a bundler has put it.
 */
export function workerUrl(): URL | undefined {
  const files = assetUrl(packagePath("dist/data.wasm"))!;
  const isHere = files.origin === origin || !files.protocol.startsWith("http");
  return packageUrl() === undefined && isHere ? undefined : new URL("browser/kernels-worker.js", files);
}
