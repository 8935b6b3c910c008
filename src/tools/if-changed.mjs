/** Repeats a part of the build only if what it reads, or what it made, has changed. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A hash of the names and contents of files, and of those in folders; what does not exist counts as such. */
function hashFiles(paths) {
  const hash = createHash("sha256");
  const add = (path) => {
    if (!existsSync(path)) hash.update(`${path} is missing\n`);
    else if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name));
    else {
      const content = readFileSync(path);
      hash.update(`${path} ${content.length}\n`).update(content);
    }
  };
  for (const path of paths) add(path);
  return hash.digest("hex");
}

/**
 * Calls `make` with a hash of `inputs`, of which it makes `outputs`, unless `stamp` says that these outputs are from
 * these inputs. It says so only after `make` has succeeded, with the inputs as they were before it: after an
 * interrupted build, or a change of an input or an output, they are rebuilt.
 */
export async function ifChanged({ stamp, inputs, outputs }, make) {
  const read = hashFiles(inputs);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === `${read} ${hashFiles(outputs)}`) return;
  rmSync(stamp, { force: true });
  await make(read);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, `${read} ${hashFiles(outputs)}`);
}
