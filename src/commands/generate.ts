/** generate: writes text behind prompts. */
import { describeDevice } from "../backend/backend.ts";
import { type DeviceName, openDevice } from "../backend/device.ts";
import type { WeightDtype } from "../config.ts";
import { ConfigError } from "../errors.ts";
import type { GenerateOptions } from "../infer/generation.ts";
import { LanguageModel } from "../infer/language-model.ts";
import { downloadProgress } from "../report/download.ts";
import { command, deviceFlag, dtypeFlag, inputLines, main, number, threadsFlag } from "./cli.ts";
import { settle } from "./recovery.ts";

const program = command(
  "generate",
  "Writes text behind prompts, on the command line or the lines of the standard input, with a GPT-2, or with what was\n" +
    "trained from it as a language model. Past the context the oldest tokens are forgotten, and the command says so.",
  '  generate "Once upon a time"\n  generate --run runs/tales --temperature 0.8 --top-p 0.95 "Once upon a time"\n' +
    "  generate --model gpt2 --adapter path/to/peft-adapter --stop 'Q:' --json < questions.txt",
)
  .argument("[prompt...]", "prompts; without any, the lines of the standard input")
  .option(
    "--model <dir|name>",
    "the model, or the base model where it is not where the run or the adapter says (default: gpt2-micro)",
  )
  .option("--run <dir>", "a run directory of train --objective lm")
  .option("--adapter <dir>", "its adapter/, or a PEFT LoRA adapter of a language model (CAUSAL_LM)")
  .option("--max-new-tokens <n>", "the most tokens behind each prompt", number, 50)
  .option("--temperature <x>", "0: the likeliest token; above: drawn, the more freely the higher", number, 0)
  .option("--top-k <n>", "draw only from the n likeliest tokens (default: all)", number)
  .option("--top-p <x>", "draw only from the likeliest tokens that have the share x together (default: 1, all)", number)
  .option("--repetition-penalty <x>", "above 1: makes tokens that are there already less likely (default: 1)", number)
  .option("--stop <texts...>", "end a text before the first of these")
  .option("--seed <n>", "of the draws", number, 1)
  .option("--batch-size <n>", "prompts at a time (default: as memory allows, at most 8)", number)
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(dtypeFlag())
  .option("--json", "print one JSON object a prompt: prompt, text, tokens, finish, forgotten");

interface Flags extends GenerateOptions {
  run?: string;
  adapter?: string;
  model?: string;
  batchSize?: number;
  device: DeviceName;
  threads?: number;
  dtype?: WeightDtype;
  json?: boolean;
}

/** The prompts, all of them: they are written together. */
async function promptsOf(given: readonly string[]): Promise<readonly string[]> {
  if (given.length > 0) return given;
  if (process.stdin.isTTY)
    throw new ConfigError("there is nothing to write behind", {
      expected: "prompts on the command line, or lines on the standard input",
      hint: 'generate "Once upon a time"; an empty prompt, "", begins a document',
    });
  const lines: string[] = [];
  for await (const some of inputLines()) lines.push(...some);
  return lines;
}

/** Writes behind all prompts and prints their texts in order, the first that is not done as it comes. Returns how many tokens. */
async function write(lm: LanguageModel, prompts: readonly string[], options: GenerateOptions, json: boolean) {
  const texts = prompts.map(() => ({ text: "", tokens: 0, finish: "", forgotten: 0 }));
  let current = 0;
  let shown = 0;
  for await (const { prompt, text, ids, finish = "", forgotten = 0 } of lm.generate(prompts, options)) {
    const of = texts[prompt]!;
    of.text += text;
    of.tokens += ids.length;
    of.finish = finish;
    if (forgotten > 0) {
      of.forgotten = forgotten;
      const which = prompts.length > 1 ? `prompt ${prompt + 1}: ` : "";
      console.error(
        `${which}beyond the context of ${lm.config.n_positions} tokens, the oldest ${forgotten} are forgotten`,
      );
    }
    for (; current < prompts.length; current++, shown = 0) {
      const first = texts[current]!;
      const all = prompts[current] + first.text;
      if (!json) process.stdout.write(all.slice(shown));
      shown = all.length;
      if (first.finish === "") break;
      if (json) console.log(JSON.stringify({ prompt: prompts[current], ...first }));
      else process.stdout.write(current < prompts.length - 1 ? "\n\n" : "\n");
    }
  }
  return texts.reduce((sum, { tokens }) => sum + tokens, 0);
}

await main(async () => {
  program.parse();
  const {
    run,
    adapter,
    model,
    device: name,
    threads = 0,
    dtype,
    batchSize,
    json = false,
    ...options
  } = program.opts<Flags>();
  if (run !== undefined && adapter !== undefined)
    throw new ConfigError("it is not clear what to write with", {
      expected: "--run DIR or --adapter DIR",
      found: "both",
    });
  const trained = run ?? adapter;
  const prompts = await promptsOf(program.args);
  if (trained !== undefined) await settle(trained);
  const device = await openDevice(name, { threads });
  try {
    const loading = {
      device,
      onProgress: downloadProgress(process.stderr),
      ...(batchSize === undefined ? {} : { batchSize }),
      ...(dtype === undefined ? {} : { dtype }),
    };
    const lm =
      trained === undefined
        ? await LanguageModel.load(model ?? "gpt2-micro", loading)
        : await LanguageModel.loadTrained(trained, { ...loading, ...(model === undefined ? {} : { model }) });
    const started = performance.now();
    const tokens = await write(lm, prompts, options, json);
    const seconds = (performance.now() - started) / 1000;
    if (!json)
      console.error(`${tokens} tokens, ${(tokens / seconds).toFixed(1)} a second, on ${describeDevice(device.info)}`);
    lm.destroy();
  } finally {
    device.destroy();
  }
  return 0;
});
