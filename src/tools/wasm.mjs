/** Compiles assembly/ into build/*.wasm. */
import { spawnSync } from "node:child_process";

/** The modules of a folder: the file that each begins with, and its target in asconfig.json. */
const MODULES = {
  data: { data: ["index", "release"], tokenizer: ["tokenizer", "release"] },
  kernels: { kernels: ["index", "kernels"], "kernels-relaxed": ["index", "kernels-relaxed"] },
};

/** Compiles all modules of a folder of assembly/. `root` is the project's directory. Returns whether all compiled. */
export function buildWasm(folder, root, stdio = "inherit") {
  return Object.entries(MODULES[folder]).every(([name, [entry, target]]) => {
    const asc = "node_modules/assemblyscript/bin/asc.js";
    const args = [asc, `assembly/${folder}/${entry}.ts`, "--target", target, "--outFile", `build/${name}.wasm`];
    return spawnSync(process.execPath, args, { cwd: root, stdio }).status === 0;
  });
}
