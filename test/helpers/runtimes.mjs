/** Other runtimes, installed from npm into build/runtimes. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const RUNTIMES_FOLDER = resolve("build/runtimes");

/** The npm package, and the path of the program in node_modules. */
export const DENO = { install: "deno", file: /^@deno\/[^/]+\/deno(\.exe)?$/ };

/** The path of a runtime's program; null if it cannot be installed. */
export function findRuntime(name, { program, install, file }) {
  if (program) return program;
  const folder = join(RUNTIMES_FOLDER, name.replace(" ", "-"));
  const modules = join(folder, "node_modules");
  const look = () =>
    readdirSync(modules, { recursive: true }).find((path) => file.test(String(path).replaceAll("\\", "/")));
  if (!existsSync(modules)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), "{}");
    // The programs are in packages for each system: nothing needs to run to install them.
    const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", install];
    spawnSync("npm", args, { cwd: folder, shell: process.platform === "win32" });
  }
  const found = existsSync(modules) && look();
  return found ? join(modules, found) : null;
}
