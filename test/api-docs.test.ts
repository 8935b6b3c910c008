/** The docstrings of the public API: none is missing, and their examples are programs that compile. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { SETTINGS, type TrainOptions } from "../src/train/settings.ts";
import { temporaryFolder } from "./helpers/border.ts";
import { test } from "./helpers/harness.ts";

interface Declaration {
  name: string;
  /** "class", "interface", ... */
  kind: string;
  where: string;
  /** The docstring before it; "" if there is none. */
  doc: string;
}

const DECLARATION =
  /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export (?:declare )?(?:async )?(?:abstract )?(class|function|interface|type|const) (\w+)/g;

function declarationsIn(path: string): Declaration[] {
  const source = readFileSync(path, "utf8");
  return [...source.matchAll(DECLARATION)].map(([, doc = "", kind, name]) => ({
    name: name!,
    kind: kind!,
    where: path,
    doc,
  }));
}

/** The declarations behind the exports of a file, its own and those that it passes on. */
function exportedDeclarations(path: string): Declaration[] {
  const source = readFileSync(path, "utf8");
  const passed = [...source.matchAll(/export (type )?\{([^}]*)\} from "([^"]+)"/g)].flatMap(([, type, names, from]) => {
    const known = declarationsIn(join(dirname(path), from!));
    return (
      names!
        .split(",")
        .map((name) => name.replace(/\btype\b/, "").trim())
        .filter((name) => name !== "")
        .map((name) => known.find((one) => one.name === name) ?? { name, kind: "", where: from!, doc: "" })
        // Of a class that is exported as a type, nobody makes instances.
        .map((one) => (type ? { ...one, kind: "type" } : one))
    );
  });
  const whole = [...source.matchAll(/export \* from "([^"]+)"/g)].flatMap(([, from]) =>
    exportedDeclarations(join(dirname(path), from!)),
  );
  return [...declarationsIn(path), ...passed, ...whole];
}

const ENGINE = new Set(
  ["data.ts", "engine.ts"].flatMap((entry) =>
    exportedDeclarations(packagePath(join("src/entries", entry))).map(({ name }) => name),
  ),
);
const API = ["index.ts", "entries/data.ts", "entries/engine.ts"].flatMap((entry) =>
  exportedDeclarations(packagePath(join("src", entry))),
);

test("every export has a docstring, every function and class an example", () => {
  assert.ok(API.length > 50, `${API.length} exports`);
  // An overload has that of the first; the engine's own types say what they are in their names and fields.
  const isSaid = ({ name, kind, doc }: Declaration, i: number) =>
    doc !== "" || API[i - 1]?.name === name || (/interface|type|^$/.test(kind) && ENGINE.has(name));
  const missing = API.filter((one, i) => !isSaid(one, i)).map(({ name, where }) => `${name} in ${where}`);
  assert.equal(missing, []);
  const isShown = ({ kind, name, doc }: Declaration, i: number) =>
    !/class|function/.test(kind) ||
    doc.includes("@example") ||
    API[i - 1]?.name === name ||
    /(Config|Data|Device|Download|Format|Shape|Training)Error/.test(name);
  assert.equal(
    API.filter((one, i) => !isShown(one, i)).map(({ name, where }) => `${name} in ${where}`),
    [],
  );
});

/** The code of every interface of src, by its name, with what it extends. */
const INTERFACES = new Map(
  readdirSync(packagePath("src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => {
      const source = readFileSync(packagePath(join("src", path)), "utf8");
      return [...source.matchAll(/^(?:export )?interface (\w+)([^{]*)\{(?:\n([\s\S]*?)^)?\}/gm)];
    })
    .map(([, name, parents, body]) => [
      name!,
      { parents: parents!.match(/\w+(Options|Arguments)\b/g) ?? [], body: body ?? "" },
    ]),
);

/** An interface of options with those that it extends. */
function optionTypes(name: string, found = new Set<string>()): Set<string> {
  if (!INTERFACES.has(name) || found.has(name)) return found;
  found.add(name);
  for (const parent of INTERFACES.get(name)!.parents) optionTypes(parent, found);
  return found;
}

test("every option has a line that an editor shows, with its default, which is that of the settings", () => {
  const names = API.flatMap(({ name }) => (/(Options|Arguments)$/.test(name) ? [...optionTypes(name)] : []));
  const options = [...new Set(names)].flatMap((name) =>
    [...INTERFACES.get(name)!.body.matchAll(/^( {2}\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)? {2}(\w+)(\??): (.*)$/gm)].map(
      ([, doc = "", key, optional, type]) => ({
        name,
        key: key!,
        doc: doc.replaceAll(/\s*\n\s+\*?\s*/g, " "),
        optional,
        type: type!,
      }),
    ),
  );
  assert.ok(options.length > 80, `${options.length} options`);
  const ofSettings = optionTypes("TrainOptions");
  const wrong = options.filter(({ name, key, doc, optional, type }) => {
    const isSetting = ofSettings.has(name);
    if (doc === "" || !(optional || isSetting) || /=> |AbortSignal/.test(type)) return doc === "";
    const [said] = /\bdefault.*/i.exec(doc) ?? [];
    const usual = isSetting ? [SETTINGS[key as keyof TrainOptions].default].flat() : [];
    return said === undefined || !usual.every((value) => said.includes(JSON.stringify(value)));
  });
  assert.equal(
    wrong.map(({ name, key, doc }) => `${name}.${key}: ${doc}`),
    [],
  );
});

test("the examples compile", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(packagePath("."), join(folder, "node_modules/lowrank"), "junction");
  symlinkSync(packagePath("node_modules/@types"), join(folder, "node_modules/@types"), "junction");
  const docs = new Set(API.map(({ doc }) => doc));
  const examples = [...docs].flatMap((doc) => [...doc.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!));
  assert.ok(examples.length > 12, `${examples.length} examples`);
  const files = examples.map((code, i) => {
    const file = `example${i}.ts`;
    writeFileSync(join(folder, file), `${code.replaceAll(/^ \* ?/gm, "")}\nexport {};\n`);
    return file;
  });
  const options =
    "--noEmit --strict --target es2022 --module esnext --moduleResolution bundler --lib es2023,dom --types node --skipLibCheck";
  const tsc = packagePath("node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, ...options.split(" "), ...files], { cwd: folder, encoding: "utf8" });
  } catch (error) {
    assert.unreachable((error as { stdout: string }).stdout);
  }
});
