/** bench: measures speed, memory and size. Subcommands are imported on demand, so as not to affect others' figures. */

import { WEIGHT_DTYPES } from "../core/tensor.ts";
import { MODES } from "../methods/index.ts";
import { choice, command, deviceFlag, main, number, threadsFlag } from "./cli.ts";

const program = command("dev bench", "Measures speed, memory and size, and compares them with other libraries.", [
  "tokenizer",
  "tokenizer --texts sms.csv --texts book.txt",
  "step --peer torch",
]);
let code = 0;

/** Model shapes of `bench step`. */
const STEP_SHAPES = [
  "gpt2-micro",
  "gpt2-small",
  "gpt2-medium",
  "gpt2-large",
  "gpt2-xl",

  "smollm2-135m",
];

program
  .command("tokenizer")
  .description(
    "compare the tokenizer with gpt-tokenizer and, if it is installed, Python's tiktoken: token ids, then speed",
  )
  .option(
    "--texts <files...>",
    "csv, tsv and jsonl files are read as messages, any other file as one text (default: the bundled corpus)",
  )
  .option("--model <dir>", "a base model's tokenizer, compared with Python's tokenizers, in place of GPT-2's")
  .option("--json", "print one JSON object instead of tables")
  .option("--rounds <n>", "fresh processes for each tokenizer and text", number, 3)
  .action(async (options) => {
    const { benchTokenizer } = await import("../bench/tokenizer.ts");
    code = await benchTokenizer(options);
  });

program
  .command("peer <name> <job>", { hidden: true })
  .description("measure one tokenizer of `bench tokenizer` in a separate process")
  .action(async (name, job) => {
    const { work } = await import("../bench/worker.ts");
    await work(name, job);
  });

program
  .command("step")
  .description(
    "measure a training step with random weights: time, tokens/s, memory; of each kernel its share, GFLOP/s and GB/s",
  )
  .addOption(choice("--model <shape>", "shape of the model", STEP_SHAPES).default("gpt2-micro"))
  .addOption(choice("--mode <mode>", "which parameters are trained", MODES).default("lora"))
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(choice("--dtype <type>", "data type of the frozen weights", WEIGHT_DTYPES).default("f32"))
  .option("--recompute", "recompute the activations of each block in the backward pass")
  .option("--data <file>", "messages as CSV, TSV or JSON lines (default: the bundled corpus)")
  .option("--padding <n>", "pad every message to n tokens (default: packed)", number)
  .option("--max-length <n>", "maximum message length in tokens", number, 120)
  .option("--batch-size <n>", "messages per step", number, 8)
  .option("--steps <n>", "number of steps, each with a different batch", number, 10)
  .addOption(choice("--peer <name>", "also measure PyTorch, on rows padded to --max-length", ["torch"]))
  .option("--json", "print one JSON object instead of a report")
  .action(async (options) => {
    const { benchStep } = await import("../bench/step.ts");
    code = await benchStep(options);
  });

await main(async () => {
  await program.parseAsync();
  return code;
});
