/** Compiles assembly/ into build/*.wasm. */
import { spawnSync } from "node:child_process";

const TARGETS = { data: ["release"], kernels: ["kernels", "kernels-relaxed"] };

/** Compiles all modules of a folder of assembly/. `root` is the project's directory. Returns whether all compiled. */
export function buildWasm(folder, root, stdio = "inherit") {
  return TARGETS[folder].every((target) => {
    const asc = "node_modules/assemblyscript/bin/asc.js";
    const args = [asc, `assembly/${folder}/index.ts`, "--target", target];
    return spawnSync(process.execPath, args, { cwd: root, stdio }).status === 0;
  });
}
