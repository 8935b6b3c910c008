/** Where the package's files are in Node: the program may be a bundle that lies elsewhere. */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../core/errors.ts";
import { packageUrl } from "./package-url.ts";

/** A file by which the package is known: an installed one, a clone, or a copy of its folders. */
const MARK = "dist/kernels.wasm";

let found: string | undefined;

/** The path of a file or folder of the package, given relative to its root: "data/models/gpt2-micro". */
export function packagePath(name: string): string {
  return join(packageRoot(), name);
}

/** The folder that has `dist` and `data`. Throws ConfigError if there is none. */
export function packageRoot(): string {
  const said = packageUrl();
  if (said !== undefined) return /^file:/i.test(said) ? fileURLToPath(said) : resolve(said);
  found ??= findAbove(here());
  return found;
}

/** This file, or the bundle that it is in: of CommonJS bundlers leave only `__filename`. */
const here = () =>
  (import.meta.url as string | undefined)
    ? fileURLToPath(import.meta.url)
    : typeof __filename === "string"
      ? __filename
      : resolve("program");

/** The nearest folder above a file that has the package's files, or the package in its node_modules. */
function findAbove(file: string): string {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const places = [folder, join(folder, "node_modules/lowrank")];
    const place = places.find((one) => existsSync(join(one, MARK)));
    if (place !== undefined) return place;
    if (folder === dirname(folder)) break;
  }
  throw new ConfigError("missing-package-file", "the files of the package were not found", {
    where: dirname(file),
    expected: "the folders dist and data of lowrank there, or lowrank in node_modules there or above",
    hint: "a bundler left them out: copy them, and say where they are by setPackageUrl(folder)",
  });
}
