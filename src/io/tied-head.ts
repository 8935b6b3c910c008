/** Whether a model's head is its token table, where a file has both. Loaded on demand: few files do. */
import type { ModelConfig } from "../core/config.ts";
import { sameShape } from "../core/tensor.ts";
import { layoutOf } from "./layouts.ts";
import type { TensorFile } from "./safetensors/tensor-file.ts";

interface TensorInFile {
  file: Pick<TensorFile, "info" | "readF32">;
  key: string;
}

/** Rows of each that are in memory at a time. */
const ROWS = 4096;

/**
 * Whether two tensors have the same shape and values, as transformers compares them: a head that differs from the
 * table is one of its own, whatever the config says. They are read up to the first difference.
 */
export async function sameValues(one: TensorInFile, other: TensorInFile): Promise<boolean> {
  const [a, b] = [one, other].map(({ file, key }) => file.info(key).shape);
  if (!sameShape(a!, b!)) return false;
  const rows = a![0] ?? 1;
  for (let row = 0; row < rows; row += ROWS) {
    const read = ({ file, key }: TensorInFile) => file.readF32(key, row, Math.min(rows, row + ROWS));
    const [first, second] = await Promise.all([read(one), read(other)]);
    if (!first.every((value, i) => value === second[i])) return false;
  }
  return true;
}

/**
 * The config of a model whose file has a head, which `config` ties to the token table: as in transformers it is not
 * tied if they differ. `named`: the tensors by their names without the first part.
 */
export async function untieOther(config: ModelConfig, named: ReadonlyMap<string, TensorInFile>): Promise<ModelConfig> {
  const { table, head } = layoutOf(config);
  const rows = named.get(`${table}.weight`);
  const isTied = !rows || (await sameValues(named.get(`${head}.weight`)!, rows));
  return isTied ? config : { ...config, tie_word_embeddings: false };
}
