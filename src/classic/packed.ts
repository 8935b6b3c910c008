/** Classic models in zip files, such as that of a run. */
import { readBytes } from "#platform";
import { FormatError } from "../errors.ts";
import { LIMITS } from "../io/limits.ts";
import { openZip } from "../io/zip.ts";
import { CLASSIC } from "./parts.ts";

/** The outermost classic.json of a zip file; null: there is none. Throws FormatError if the file is damaged. */
export async function findPacked(path: string): Promise<{ where: string; bytes: Uint8Array } | null> {
  const entries = await openZip(new Blob([await readBytes(path, LIMITS.archive)]), path);
  const depth = (name: string) => name.split("/").length;
  const names = [...entries.keys()].filter((name) => `/${name}`.endsWith(`/${CLASSIC}`));
  const [name] = names.sort((a, b) => depth(a) - depth(b));
  if (name === undefined) return null;
  const { size, open } = entries.get(name)!;
  const where = `${path}/${name}`;
  if (size <= LIMITS.classic) return { where, bytes: new Uint8Array(await (await open()).arrayBuffer()) };
  throw new FormatError("exceeds-limit", "the classic model in the zip file is too large", {
    where,
    expected: `at most ${LIMITS.classic} bytes`,
    found: `${size} bytes`,
  });
}
