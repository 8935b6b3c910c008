/** Compiles assembly/ into build/*.wasm. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { main } from "assemblyscript/asc";

/** The modules of a folder: the file that each begins with, and its target in asconfig.json. */
const MODULES = {
  data: { data: ["index", "release"], tokenizer: ["tokenizer", "release"] },
  kernels: { kernels: ["index", "kernels"], "kernels-relaxed": ["index", "kernels-relaxed"] },
};

const LOOP = /^ *unroll: for \(let (\w) = 0; \1 < (\d+); \1\+\+\) (\{\n(?:.*\n)*?) *\}\n/m;

/**
 * Writes out the innermost loops labelled `unroll`, without their braces: what they declare is seen behind them. The
 * variable, and `$` with it in a name, is 0, 1, ...: `unroll: for (let q = 0; q < 2; q++) { let c$q = q; }` becomes
 * `let c0 = 0; let c1 = 1;`. An engine that does not unroll a loop would keep accumulators in memory.
 */
export function unroll(code) {
  const loop = LOOP.exec(code);
  if (!loop) return code;
  const [whole, variable, count, body] = loop;
  const place = new RegExp(`\\$${variable}|\\b${variable}\\b`, "g");
  const copies = Array.from({ length: count }, (_, i) => body.slice(2).replace(place, i)).join("");
  return unroll(code.slice(0, loop.index) + copies + code.slice(loop.index + whole.length));
}

/** Compiles all modules of a folder of assembly/. `root` is the project's directory. Returns whether all compiled. */
export async function buildWasm(folder, root) {
  const readFile = (name, from) => {
    const path = resolve(from, name);
    if (!existsSync(path)) return null;
    const code = readFileSync(path, "utf8");
    return name.startsWith("assembly/") ? unroll(code) : code;
  };
  for (const [name, [entry, target]] of Object.entries(MODULES[folder])) {
    const args = [`assembly/${folder}/${entry}.ts`, "--target", target, "--outFile", `build/${name}.wasm`];
    const { error } = await main([...args, "--baseDir", root], { readFile, stderr: process.stderr });
    if (error) return false;
  }
  return true;
}
