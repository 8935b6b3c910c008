/** A model's tensors in several safetensors files, which model.safetensors.index.json lists. */

import { exists, joinPath } from "#platform";
import { checkKinds } from "../../core/checks.ts";
import { FormatError, nameList } from "../../core/errors.ts";
import { readJson, SHARDS_INDEX } from "../common.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
import { checkNames, type TensorFiles } from "./tensor-file.ts";

/** A name in the model's own folder. */
const SHARD = /^\w[\w.-]*\.safetensors$/;
/** Files of a model. The largest on the hub have some 200. */
const MOST_SHARDS = 1024;

/** An index's files, sorted, each with its tensors. Throws FormatError if it is invalid or names files elsewhere. */
export async function readShards(path: string): Promise<Map<string, string[]>> {
  const json = await readJson(path);
  checkKinds({ json }, { json: "object" }, path);
  checkKinds(json as object, { weight_map: "object" }, path);
  const shards = new Map<unknown, string[]>();
  for (const [tensor, shard] of Object.entries((json as { weight_map: object }).weight_map)) {
    const tensors = shards.get(shard);
    if (tensors) tensors.push(tensor);
    else shards.set(shard, [tensor]);
  }
  const wrong = [...shards].find(([shard]) => typeof shard !== "string" || !SHARD.test(shard));
  if (wrong !== undefined || shards.size === 0 || shards.size > MOST_SHARDS)
    throw new FormatError("invalid-shards-index", "the index of the model's shards is invalid", {
      where: path,
      expected: `names of 1 to ${MOST_SHARDS} files next to it that end in .safetensors`,
      found: wrong ? `${JSON.stringify(wrong[0])}, for ${nameList(wrong[1])}` : `${shards.size} files`,
    });
  return new Map([...(shards as Map<string, string[]>)].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Opens a directory's shards. Throws FormatError, naming the file, if one is damaged or they do not match. */
export async function openShards(directory: string): Promise<TensorFiles> {
  const index = joinPath(directory, SHARDS_INDEX);
  const shards = await readShards(index);
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

async function requireShards(directory: string, shards: string[], where: string): Promise<void> {
  const missing: string[] = [];
  for (const shard of shards) if (!(await exists(joinPath(directory, shard)))) missing.push(shard);
  if (missing.length > 0)
    throw new FormatError("missing-shards", `the model lacks ${missing.length} of ${shards.length} shards`, {
      where,
      expected: nameList(missing),
      hint: "put the missing files into the same directory",
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
    throw new FormatError("duplicate-tensor", "tensors of this shard are in an earlier one, too", {
      where,
      found: nameList(twice),
    });
  const hint = "copy the shards and the index together, of one version of the model";
  checkNames(file.names, names, "the shard and the index do not belong together", where, hint);
}
