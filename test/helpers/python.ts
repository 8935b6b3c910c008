/** A substitute for python3. */
import { writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { temporaryFolder } from "./border.ts";

const folder = temporaryFolder();
process.env.PATH = `${folder}${delimiter}${process.env.PATH}`;

/** From now on python3 is a script for Node; `lines` is its input. */
export function usePython(script: string): void {
  const lines = 'const lines = require("node:readline").createInterface({ input: process.stdin });';
  writeFileSync(join(folder, "python3"), `#!/usr/bin/env node\n${lines}\n${script}\n`, { mode: 0o755 });
}
