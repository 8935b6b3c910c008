/** Why a directory cannot be opened as a model: what it lacks, and what it has instead. */
import { exists, joinPath } from "#platform";
import { ConfigError } from "../errors.ts";
import { readJson, WEIGHTS } from "./common.ts";

/** The error for a directory that lacks some of a model's files. `shipped`: the models that need no directory. */
export async function missingFiles(
  directory: string,
  missing: readonly string[],
  shipped: object,
): Promise<ConfigError> {
  const has = (file: string) => exists(joinPath(directory, file));
  if (!(await exists(directory)))
    return new ConfigError("no-such-model", "the model directory does not exist", {
      where: directory,
      hint: `shipped models: ${Object.keys(shipped).join(", ")}`,
    });
  const pickled: string[] = [];
  for (const file of ["pytorch_model.bin", "pytorch_model.bin.index.json"]) if (await has(file)) pickled.push(file);
  if (missing[0] === WEIGHTS && pickled.length > 0)
    return new ConfigError(
      "pickled-weights",
      `${pickled[0]!.replace(".index.json", "")} is not supported: it can run code when it is read`,
      {
        where: directory,
        expected: WEIGHTS,
        hint: `convert it: ${await conversionCommand(directory)}`,
      },
    );
  const isAdapter = (await has("adapter_config.json")) || (await has("lowrank.json"));
  return new ConfigError("missing-model-files", `the model directory lacks ${missing.join(" and ")}`, {
    where: directory,
    hint: isAdapter
      ? "this is a trained adapter: give the directory of its base model instead"
      : "put the model's files, in Hugging Face's layout, into that directory",
  });
}

/** The command that writes a directory's PyTorch weights as safetensors. */
async function conversionCommand(directory: string): Promise<string> {
  const json = (await readJson(joinPath(directory, "config.json"))) as { architectures?: unknown } | null;
  const named = [json?.architectures].flat()[0];
  const model = typeof named === "string" && /^GPT2\w{0,40}$/.test(named) ? named : "GPT2LMHeadModel";
  const path = JSON.stringify(directory).slice(1, -1).replaceAll("'", "\\'");
  return `python -c "from transformers import ${model} as M; M.from_pretrained('${path}').save_pretrained('${path}', safe_serialization=True)"`;
}
