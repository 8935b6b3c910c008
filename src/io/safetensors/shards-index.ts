/** The index of a model whose weights are in several files, as transformers writes it. */

import { checkKinds } from "../../checks.ts";
import { FormatError, nameList } from "../../errors.ts";
import { readJson } from "../common.ts";

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
