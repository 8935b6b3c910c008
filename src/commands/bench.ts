/** bench: measures speed, memory and size. Subcommands are imported on demand, so as not to affect others' figures. */

import { MODES } from "../methods/index.ts";
import { WEIGHT_DTYPES } from "../tensor.ts";
import { choice, command, deviceFlag, main, number, splitList, threadsFlag } from "./cli.ts";

const program = command("dev bench", "Measures speed, memory and size, and compares them with other libraries.", [
  "tokenizer",
  "tokenizer --texts sms.csv --texts book.txt",
  "data --json",
]);
let code = 0;

/** Model shapes of `bench step` and `bench generate`. */
const STEP_SHAPES = ["gpt2-micro", "gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl", "smollm2-cut", "smollm2-135m"];

function counts(value: string): number[] {
  return splitList(value).map(number);
}

program
  .command("tokenizer")
  .description(
    "compare the tokenizer with gpt-tokenizer and, if it is installed, Python's tiktoken: token ids, then speed",
  )
  .option(
    "--texts <files...>",
    "csv, tsv and jsonl files are read as messages, any other file as one text (default: the bundled corpus)",
  )
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
  .command("data")
  .description("measure the data pipeline: rows/s, bytes/s, and peak memory relative to the packed tokens")
  .option("--rows <counts>", "row counts of the synthetic files", counts, [10_000, 100_000, 1_000_000])
  .option("--json", "print one JSON object instead of a table")
  .action(async (options) => {
    const { benchData } = await import("../bench/data.ts");
    code = await benchData(options);
  });

program
  .command("rows <file>", { hidden: true })
  .description("make one measurement of `bench data` in a separate process")
  .action(async (file) => {
    const { measureRows } = await import("../bench/data.ts");
    await measureRows(file);
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

program
  .command("generate")
  .description("measure generation with random weights: time to first token, tokens/s, share of each kernel")
  .addOption(choice("--model <shape>", "shape of the model", STEP_SHAPES).default("gpt2-micro"))
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(choice("--dtype <type>", "data type of the weights", WEIGHT_DTYPES).default("f32"))
  .option("--prompts <n>", "prompts per batch", number, 1)
  .option("--length <n>", "tokens per prompt", number, 32)
  .option("--tokens <n>", "new tokens per prompt", number, 64)
  .option("--rounds <n>", "number of measurements", number, 5)
  .addOption(choice("--peer <name>", "also measure transformers on PyTorch", ["torch"]))
  .option("--json", "print one JSON object instead of a report")
  .action(async (options) => {
    const { benchGenerate } = await import("../bench/generate.ts");
    code = await benchGenerate(options);
  });

program
  .command("matmul")
  .description(
    "measure the matrix products of a training step in GFLOP/s, by shape (with a software driver only the small ones)",
  )
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--rounds <n>", "measurements of each product", number, 10)
  .option("--json", "print one JSON object instead of a table")
  .action(async (options) => {
    const { benchMatmul } = await import("../bench/matmul.ts");
    code = await benchMatmul(options);
  });

await main(async () => {
  await program.parseAsync();
  return code;
});
