/** A model's tensors in several safetensors files, which model.safetensors.index.json lists. */
import { exists, joinPath } from "#platform";
import { FormatError, nameList } from "../errors.ts";
import { checkKinds, count, readJson } from "./common.ts";
import { LIMITS } from "./limits.ts";
import { openSafetensors, type SafetensorsFile, type TensorFiles } from "./safetensors.ts";

/** Opens a directory's shards. Throws FormatError, naming the file, if one is damaged or they do not belong together. */
export async function openShards(directory: string, index: string): Promise<TensorFiles> {
  const shards = await readIndex(index);
  await requireShards(directory, [...shards.keys()], index);
  const files = new Map<string, SafetensorsFile>();
  const open: SafetensorsFile[] = [];
  const close = async () => {
    for (const file of open) await file.close();
  };
  try {
    for (const [shard, names] of shards) {
      const path = joinPath(directory, shard);
      const file = await openSafetensors(path);
      open.push(file);
      checkShard(file, names, files, path);
      for (const name of names) files.set(name, file);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { where: index, files, close };
}

/** The tensors of each shard. Throws FormatError. */
async function readIndex(where: string): Promise<Map<string, string[]>> {
  const json = (await readJson(where)) as object;
  checkKinds({ index: json }, { index: "object" }, where);
  checkKinds(json, { weight_map: "object" }, where);
  const shards = new Map<string, string[]>();
  for (const [tensor, shard] of Object.entries((json as { weight_map: object }).weight_map)) {
    // A path could lead out of the directory.
    if (typeof shard !== "string" || !/^[^/\\:]+\.safetensors$/.test(shard))
      throw new FormatError(`the index places ${tensor} in no shard`, {
        where,
        expected: "the name of a .safetensors file in the same directory",
        found: JSON.stringify(shard),
      });
    shards.set(shard, [...(shards.get(shard) ?? []), tensor]);
  }
  if (shards.size === 0 || shards.size > LIMITS.shards)
    throw new FormatError("the index has the wrong number of shards", {
      where,
      expected: `1 to ${LIMITS.shards}`,
      found: String(shards.size),
    });
  return shards;
}

async function requireShards(directory: string, shards: string[], where: string): Promise<void> {
  const missing: string[] = [];
  for (const shard of shards) if (!(await exists(joinPath(directory, shard)))) missing.push(shard);
  if (missing.length > 0)
    throw new FormatError(`the model lacks ${count(missing, "shard")} of ${shards.length}`, {
      where,
      expected: nameList(missing),
      hint: "download the missing files into the same directory",
    });
}

/** Throws FormatError unless a shard has the tensors that the index places in it, and no others. */
function checkShard(
  file: SafetensorsFile,
  names: readonly string[],
  before: ReadonlyMap<string, unknown>,
  where: string,
): void {
  const twice = file.names.filter((name) => before.has(name));
  if (twice.length > 0)
    throw new FormatError(`${count(twice, "tensor")} of this shard are in an earlier one, too`, {
      where,
      found: nameList(twice),
    });
  const missing = names.filter((name) => !file.has(name));
  const expected = new Set(names);
  const extra = file.names.filter((name) => !expected.has(name));
  if (missing.length > 0 || extra.length > 0)
    throw new FormatError("the shard and the index do not belong together", {
      where,
      expected: missing.length > 0 ? `also ${nameList(missing)}` : "no other tensors",
      found: extra.length > 0 ? `also ${nameList(extra)}` : "no others",
      hint: "download the shards and the index again, of one version of the model",
    });
}
