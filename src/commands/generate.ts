/** generate: generates text from prompts. */
import { describeDevice } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import { ConfigError } from "../core/errors.ts";
import { printable } from "../core/printable.ts";
import type { WeightDtype } from "../core/tensor.ts";
import { closing, withAdapter } from "../infer/adapter-model.ts";
import type { GenerateOptions } from "../infer/text/generation.ts";
import type { LanguageModel } from "../infer/text/language-model.ts";
import { openWriter } from "../infer/text/writer.ts";
import { loadModel } from "../io/hf.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import { BUNDLED_GPT2, expectWriter } from "../record/base-name.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { calledAs } from "./called.ts";
import {
  command,
  type DeviceFlags,
  deviceFlag,
  dtypeFlag,
  gather,
  inputLines,
  listMain,
  main,
  number,
  settle,
  threadsFlag,
} from "./cli.ts";

const program = command(
  "generate",
  "Generates text from prompts with a base model, or with a language model trained from it.\n" +
    "Prompts are read from the command line, or from standard input, one per line. Beyond the model's context the oldest " +
    "tokens are dropped, which is reported.",
  [
    '"Once upon a time"',
    '--run runs/tales --temperature 0.8 --top-p 0.95 "Once upon a time"',
    '--model gpt2 --adapter path/to/peft-adapter --stop "Q:" --json "Q: Why is the sky blue?"',
  ],
)
  .argument("[prompt...]", "prompts (default: the lines of standard input)")
  .option(
    "--model <dir|name>",
    "model, or base model of --run or --adapter (default: gpt2-micro, or the one that the run or the adapter names)",
  )
  .option("--run <dir>", "a run directory of train --objective lm")
  .option(
    "--adapter <dir>",
    "the adapter/ of a run, or a language model's adapter of PEFT's; LoRA, prompt or prefix tuning (CAUSAL_LM)",
  )
  .option("--max-new-tokens <n>", "maximum number of new tokens per prompt", number, 50)
  .option("--temperature <x>", "sampling temperature; 0: greedy decoding", number, 0)
  .option("--top-k <n>", "sample from the n most likely tokens (default: all)", number)
  .option(
    "--top-p <x>",
    "sample from the most likely tokens with a cumulative probability of x (default: 1, all)",
    number,
  )
  .option("--repetition-penalty <x>", "values above 1 make tokens of the text so far less likely (default: 1)", number)
  .option(
    "--chat",
    "each prompt is a user's message, put into the model's chat template; the answer ends where the template ends one",
  )
  .option("--stop <text>", "stop string, before which a text ends; repeat --stop for several", gather)
  .option("--seed <n>", "random seed for sampling", number, 1)
  .option("--batch-size <n>", "prompts per batch (default: as many as fit in memory, at most 8)", number)
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(dtypeFlag("as in training; without a GPU int16, the fastest"))
  .option("--json", "print one JSON object per prompt; prompt, text, tokens, finish, forgotten");
listMain(program, [
  ...["model", "run", "adapter", "maxNewTokens", "temperature", "topP", "chat", "stop", "seed", "json"],
]);

interface GenerateFlags extends GenerateOptions, DeviceFlags {
  run?: string;
  adapter?: string;
  model?: string;
  batchSize?: number;
  dtype?: WeightDtype;
  json?: boolean;
}

/** All prompts: they are generated together. */
async function readPrompts(given: readonly string[]): Promise<readonly string[]> {
  if (given.length > 0) return given;
  if (process.stdin.isTTY)
    throw new ConfigError("no-input", "there is no prompt", {
      expected: "prompts on the command line, or lines on standard input",
      hint: `${calledAs("generate")} "Once upon a time"; an empty prompt, "", starts a new document`,
    });
  const lines: string[] = [];
  for await (const batch of inputLines()) lines.push(...batch);
  return lines;
}

/**
 * Generates all texts and prints them in order, streaming the first unfinished one. Returns the number of new tokens.
 */
async function write(lm: LanguageModel, prompts: readonly string[], options: GenerateOptions, json: boolean) {
  const texts = prompts.map(() => ({ text: "", tokens: 0, finish: "", forgotten: 0 }));
  // A file has the text as it is; a terminal would take control characters as commands.
  const show = process.stdout.isTTY ? printable : (text: string) => text;
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
        `${which}the text is longer than the context of ${lm.config.n_positions} tokens; the oldest ${forgotten} were dropped`,
      );
    }
    for (; current < prompts.length; current++, shown = 0) {
      const first = texts[current]!;
      const all = (options.chat ? "" : prompts[current]) + first.text;
      if (!json) process.stdout.write(show(all.slice(shown)));
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
  } = program.opts<GenerateFlags>();
  if (run !== undefined && adapter !== undefined)
    throw new ConfigError("options-conflict", "--run and --adapter exclude each other", {
      expected: "--run DIR or --adapter DIR",
      found: "both",
    });
  const trained = run ?? adapter;
  const prompts = await readPrompts(program.args);
  if (trained === undefined) expectWriter(model ?? BUNDLED_GPT2, "lm");
  else await settle(trained);
  const device = await openDevice(name, { threads });
  try {
    const downloads = { onProgress: downloadProgress(process.stderr) };
    const how = { device, batchSize, dtype };
    const lm =
      trained === undefined
        ? await closing(await loadModel(model ?? BUNDLED_GPT2, downloads), (base) => openWriter(base, null, how))
        : await withAdapter(trained, model, downloads, (of, base) => openWriter(base, of, how));
    if (readsChats(lm.meta) && !options.chat)
      console.error("The model was trained on chats: --chat puts each prompt into its template.");
    const started = performance.now();
    const tokens = await write(lm, prompts, options, json);
    const seconds = (performance.now() - started) / 1000;
    if (!json)
      console.error(`${tokens} tokens, ${(tokens / seconds).toFixed(1)} tokens/s, on ${describeDevice(lm.device)}`);
    lm.destroy();
  } finally {
    device.destroy();
  }
  return 0;
});
