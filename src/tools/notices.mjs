/** The notices of other packages whose code is in what is built. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const NOTICES = "THIRD_PARTY.md";

/** Its standard library is compiled into the WASM files. */
const IN_WASM = "assemblyscript";

const PACKAGE = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//;

function notice(folder, name) {
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file));
  if (files.length === 0) throw new Error(`${folder} has no file with its licence, which ${NOTICES} must have`);
  const texts = files.map((file) => `~~~\n${readFileSync(join(folder, file), "utf8").trim()}\n~~~\n`);
  return [`## ${name} ${version}, ${license}\n`, ...texts].join("\n");
}

/** The text for the packages of these modules, by their paths, and for what is in the WASM files. */
export function listNotices(modules) {
  const folders = new Map([[IN_WASM, `node_modules/${IN_WASM}`]]);
  for (const module of modules) {
    const [path, name] = PACKAGE.exec(module) ?? [];
    if (name) folders.set(name, path);
  }
  const about = `# Other packages

The scripts for pages have code of these packages in them, and the WASM files that of ${IN_WASM}.
`;
  return [about, ...[...folders].sort().map(([name, folder]) => notice(folder, name))].join("\n");
}
