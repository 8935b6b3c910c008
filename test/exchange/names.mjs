/** Random settings of names against PEFT's own matching: equal decisions, or a refusal of ours. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as esbuild from "esbuild";

const COUNT = 4000;
const SEED = 12;
const gpt2 = { vocab_size: 23, n_positions: 10, n_layer: 12, n_head: 2, n_embd: 8, layer_norm_epsilon: 1e-5 };
const MODELS = { gpt2, llama: { ...gpt2, model_type: "llama", rope: { theta: 1e4 } } };

/** Which modules have an adapter, of which rank; undefined where the settings are refused. */
async function ours(parsePeftConfig, model, settings) {
  try {
    const config = { peft_type: "LORA", task_type: "SEQ_CLS", ...settings };
    return (await parsePeftConfig(config, model, "")).adapted.map(({ name, r }) => [name, r]);
  } catch (error) {
    if (error.message.includes("matches no matrix")) return [];
    if (error.name === "ConfigError") return undefined;
    throw error;
  }
}

export async function checkNames(work, python, must, report) {
  const file = join(work, "names.json");
  must(python, ["test/exchange/names.py", file, String(COUNT), String(SEED)]);
  const outfile = join(work, "peft-config.mjs");
  const entryPoints = ["src/io/peft/peft-config.ts"];
  await esbuild.build({ entryPoints, outfile, bundle: true, format: "esm", logLevel: "error" });
  const { parsePeftConfig } = await import(resolve(outfile));
  let [equal, refused, slow] = [0, 0, 0];
  for (const [type, settings, theirs] of JSON.parse(readFileSync(file, "utf8"))) {
    const found = await ours(parsePeftConfig, MODELS[type], settings);
    if (found === undefined) refused++;
    else if (theirs === "slow") slow++;
    else if (JSON.stringify(found) === JSON.stringify(theirs)) equal++;
    else
      report(
        false,
        `PEFT says of a ${type} to ${JSON.stringify(settings)}: ${JSON.stringify(theirs)}, and not ${JSON.stringify(found)}`,
      );
  }
  // A refusal of everything would be equal to nothing.
  report(
    equal > COUNT / 2,
    `names as PEFT matches them: ${equal} equal, ${refused} refused, ${slow} that PEFT is not done with`,
  );
}
