/**
 * The public API as its declarations say it: what each entry of the package exports, and the types behind that.
 * `npm run api` writes test/golden/api.md, the page of all types, which test/api.test.ts
 * compares with the built declarations.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const PAGE = "test/golden/api.md";

/** The entries of the package, by what is imported, and the declarations that they are. */
export function readEntries() {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.entries(exports)
    .filter(([name, to]) => to.types && name !== "./browser")
    .map(([name, to]) => [name.replace(".", "lowrank"), join(root, to.types)]);
}

const modules = new Map();

/** The declarations of a file by name, without comments, and where its other names come from. */
function readModule(path) {
  if (modules.has(path)) return modules.get(path);
  const source = readFileSync(path, "utf8").replaceAll(/\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n?/g, "");
  const module = { path, declared: new Map(), imported: new Map(), passed: new Map(), wholes: [] };
  modules.set(path, module);
  const file = (from) => {
    const place = join(dirname(path), from.replace(/\.tsx?$/, ".d.ts"));
    return from.startsWith(".") && existsSync(place) ? place : null;
  };
  for (const [, keyword, names, from] of source.matchAll(/^(import|export)(?: type)? \{([^}]*)\} from "([^"]+)";$/gm))
    for (const name of names.split(",")) {
      const [first, as = first] = name
        .replace(/\btype\b/, "")
        .trim()
        .split(" as ");
      if (file(from)) module[keyword === "import" ? "imported" : "passed"].set(as, { name: first, path: file(from) });
    }
  for (const [, from] of source.matchAll(/^export (?:type )?\* from "([^"]+)";$/gm)) module.wholes.push(file(from));
  // A declaration reaches to the next line that begins with a letter.
  for (const text of source.split(/^(?=[a-z])/m)) {
    const [, name] =
      /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|function|const) (\w+)/.exec(text) ?? [];
    if (name) module.declared.set(name, (module.declared.get(name) ?? "") + text.trimEnd().concat("\n"));
  }
  return module;
}

/** Where a name of a file is declared; null: it is not of this package. */
function find(path, name) {
  const { declared, imported, passed, wholes } = readModule(path);
  if (declared.has(name)) return { path, name, text: declared.get(name) };
  const from = imported.get(name) ?? passed.get(name);
  if (from) return find(from.path, from.name);
  return wholes.map((whole) => find(whole, name)).find((one) => one !== null) ?? null;
}

/** The exports of an entry: each with where it is declared. */
function exportsOf(path) {
  const { declared, passed, wholes } = readModule(path);
  const own = [...declared].filter(([, text]) => text.startsWith("export ")).map(([name]) => name);
  return new Map([
    ...wholes.flatMap((whole) => [...exportsOf(whole)]),
    ...[...own, ...passed.keys()].flatMap((name) => (find(path, name) ? [[name, find(path, name)]] : [])),
  ]);
}

/** The declarations that a declaration names. */
function namedIn({ path, name, text }) {
  // Not constants, and the parents of classes of errors, which nobody writes.
  const words = new Set(text.replaceAll(/"[^"\n]*"/g, "").match(/(?<![\w.])[A-Z]\w*[a-z]\w*/g));
  return [...words].flatMap((word) => {
    const found = word === name || word.endsWith("_base") ? null : find(path, word);
    return found ? [found] : [];
  });
}

const key = ({ path, name }) => `${path} ${name}`;

/** What each entry exports, and what the types of these are made of that no entry exports. */
export function readApi() {
  const entries = readEntries().map(([name, path]) => ({ name, exports: exportsOf(path) }));
  const known = new Set(entries.flatMap(({ exports }) => [...exports.values()].map(key)));
  const missing = new Map();
  for (const { name, exports } of entries)
    for (const one of exports.values())
      for (const part of namedIn(one))
        if (!known.has(key(part))) missing.set(key(part), { ...part, of: `${one.name} of ${name}` });
  return { entries, missing: [...missing.values()] };
}

/** All types that a name of an entry leads to. */
export function reachedFrom(declarations) {
  const reached = new Map([...declarations].map((one) => [key(one), one]));
  for (const one of reached.values()) for (const part of namedIn(one)) reached.set(key(part), part);
  return [...reached.values()];
}

/** The page of all types. */
export function printApi() {
  const lines = ["# The public API\n\nWhat each entry of the package exports. Written by `npm run api`."];
  for (const { name, exports } of readApi().entries) {
    if (exports.size === 0) continue;
    lines.push(`\n## ${name}\n\n\`\`\`ts`);
    for (const [, { text }] of [...exports].sort(([a], [b]) => (a < b ? -1 : 1)))
      lines.push(text.replaceAll(/^ {4}private .*;\n/gm, "").replace(/^export (declare )?/, ""));
    lines.push("```");
  }
  return lines.join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(join(root, PAGE), printApi());
