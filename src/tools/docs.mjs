/**
 * `npm run docs`: renders the public API from its docstrings into build/api. TypeDoc needs an older TypeScript than the
 * project's: both are fetched from the registry when it runs.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const entries = ["index", "entries/data", "entries/engine"].map((name) => join(root, `dist/types/src/${name}.d.ts`));
const config = join(root, "build/docs.tsconfig.json");
writeFileSync(
  config,
  JSON.stringify({
    compilerOptions: {
      target: "ES2023",
      lib: ["ES2024", "ESNext.Disposable", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
      module: "ESNext",
      moduleResolution: "bundler",
      types: [],
      strict: true,
      skipLibCheck: true,
      noEmit: true,
    },
    files: entries,
  }),
);

const options = {
  tsconfig: config,
  out: join(root, "build/api"),
  name: "Lowrank",
  readme: join(root, "README.md"),
  // Internal types of the engine appear in signatures without documentation.
  "validation.notExported": "false",
  "validation.invalidLink": "false",
};
const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
const { status } = spawnSync(
  "npx",
  [
    ...["--yes", "--package=typedoc@0.28.20", "--package=typescript@5.9.3", "--", "typedoc"],
    ...["--skipErrorChecking", "--excludePrivate", "--excludeProtected", "--disableSources", ...flags],
    ...entries.flatMap((entry) => ["--entryPoints", entry]),
  ],
  { cwd: root, stdio: "inherit", shell: process.platform === "win32" },
);
process.exit(status ?? 1);
