/** The package as npm packs it, in a project of its own under build/. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Runs a program; throws, with all that it printed, unless it succeeds. Returns its standard output. */
export function must(program, args, options = {}) {
  // npm is a script for a shell on Windows.
  const shell = process.platform === "win32" && program === "npm";
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", shell, ...options });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(" ")}\n${stdout ?? ""}${stderr ?? ""}${error ?? ""}`);
}

/** Builds and packs the package, and installs it, with its dependencies, in the project in `home`. */
export function installPackage(home) {
  must(process.execPath, ["src/tools/build.mjs"]);
  const [{ filename }] = JSON.parse(must("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", home]));
  must("npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", `./${filename}`], { cwd: home });
  rmSync(join(home, filename));
  return join(home, "node_modules/lowrank");
}

/** Installs the programs of package-lock.json in `from` into `home`, unless they are there. */
export function installTools(from, home) {
  const lock = readFileSync(join(from, "package-lock.json"), "utf8");
  const done = join(home, "package-lock.json");
  const isDone = existsSync(join(home, "node_modules")) && existsSync(done) && readFileSync(done, "utf8") === lock;
  if (isDone) return;
  mkdirSync(home, { recursive: true });
  for (const name of ["package.json", "package-lock.json"]) cpSync(join(from, name), join(home, name));
  must("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: home });
}

/** Messages of two classes, in CSV. */
export function messages(count) {
  const rows = Array.from({ length: count }, (_, i) =>
    i % 2 ? `spam,"you have won a prize, call now, code ${i}"` : `ham,"see you at lunch, friend, table ${i}"`,
  );
  return `label,text\n${rows.join("\n")}\n`;
}
