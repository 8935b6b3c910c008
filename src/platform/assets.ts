/**
 * URLs of the package's files in a page, relative to the built files in a folder of dist/. Paths are relative to the
 * package's root, as in Node. Every URL is a literal: bundlers do not find and copy others.
 */
import { packageUrl } from "./package-url.ts";

/** URLs by path. */
const ASSETS: Readonly<Record<string, () => URL>> = {
  "dist/data.wasm": () => new URL("../data.wasm", import.meta.url),
  "dist/tokenizer.wasm": () => new URL("../tokenizer.wasm", import.meta.url),
  "dist/kernels.wasm": () => new URL("../kernels.wasm", import.meta.url),
  "dist/kernels-relaxed.wasm": () => new URL("../kernels-relaxed.wasm", import.meta.url),
  "dist/gpt2.tokenizer.bin": () => new URL("../gpt2.tokenizer.bin", import.meta.url),
  "data/datasets/human-rights.txt": () => new URL("../../data/datasets/human-rights.txt", import.meta.url),
  "data/datasets/languages.csv": () => new URL("../../data/datasets/languages.csv", import.meta.url),
  "data/datasets/spam.csv": () => new URL("../../data/datasets/spam.csv", import.meta.url),
  "data/models/gpt2-micro/config.json": () => new URL("../../data/models/gpt2-micro/config.json", import.meta.url),
  "data/models/gpt2-micro/model.safetensors": () =>
    new URL("../../data/models/gpt2-micro/model.safetensors", import.meta.url),
  "data/models/gpt2-micro/vocab.json": () => new URL("../../data/models/gpt2-micro/vocab.json", import.meta.url),
  "data/models/gpt2-micro/merges.txt": () => new URL("../../data/models/gpt2-micro/merges.txt", import.meta.url),
  "data/models/e5-small-cut/e5-small-cut.gguf": () =>
    new URL("../../data/models/e5-small-cut/e5-small-cut.gguf", import.meta.url),
};

const PACKAGE = "package:";

/** A path that stands for a file or folder of the package. */
export function packagePath(name: string): string {
  return PACKAGE + name;
}

export function isPackagePath(path: string): boolean {
  return path.startsWith(PACKAGE);
}

export function packageFiles(): string[] {
  return Object.keys(ASSETS).map(packagePath);
}

/** The URL of a file of the package; undefined if there is none. */
export function assetUrl(path: string): URL | undefined {
  const name = path.slice(PACKAGE.length);
  const url = ASSETS[name];
  const folder = packageUrl();
  return folder !== undefined && url ? new URL(name, folder) : url?.();
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
