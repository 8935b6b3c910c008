/** The index of a model whose weights are in several files, as transformers writes it. */
import { FormatError } from "../errors.ts";
import { checkKinds, readJson } from "./common.ts";

export const SHARDS_INDEX = "model.safetensors.index.json";

/** A name in the model's own folder. */
const SHARD = /^\w[\w.-]*\.safetensors$/;
/** Files of a model. The largest on the hub have some 200. */
const MOST_SHARDS = 1024;

/** The files that an index names, each once. Throws FormatError for an index that is invalid, or names files elsewhere. */
export async function readShards(path: string): Promise<string[]> {
  const json = await readJson(path);
  checkKinds({ json }, { json: "object" }, path);
  checkKinds(json as object, { weight_map: "object" }, path);
  const shards = [...new Set(Object.values((json as { weight_map: Record<string, unknown> }).weight_map))];
  const wrong = shards.find((shard) => typeof shard !== "string" || !SHARD.test(shard));
  if (wrong !== undefined || shards.length === 0 || shards.length > MOST_SHARDS)
    throw new FormatError("the index of the model's shards is invalid", {
      where: path,
      expected: `names of 1 to ${MOST_SHARDS} files beside it that end in .safetensors`,
      found: wrong === undefined ? `${shards.length} files` : (JSON.stringify(wrong) ?? "nothing"),
    });
  return (shards as string[]).sort();
}
