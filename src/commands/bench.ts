/** bench: measures what is claimed. Every subcommand is loaded when it is asked for, so that none weighs on another. */

import { MODES, WEIGHT_DTYPES } from "../config.ts";
import { choice, command, deviceFlag, list, main, number, threadsFlag } from "./cli.ts";

const program = command(
  "bench",
  "Measures speed, memory and size, and compares them with others.",
  "  bench tokenizer\n  bench tokenizer --texts sms.csv --texts book.txt --svg tokenizers.svg\n  bench data --json",
);
let code = 0;

/** The shapes that `bench step` and `bench generate` know. */
const STEP_SHAPES = ["gpt2-micro", "gpt2-small", "gpt2-medium"];

/** A comma-separated list of numbers. */
function counts(value: string): number[] {
  return list(value).map(number);
}

program
  .command("tokenizer")
  .description("the tokenizer beside gpt-tokenizer, tiktoken, kitoken and js-tiktoken: ids first, then speed")
  .option(
    "--texts <files...>",
    "data files (csv, tsv, jsonl) as messages, other files as one text each (default: the bundled corpus)",
  )
  .option("--json", "print one JSON object instead of tables")
  .option("--svg <file>", "write a bar chart of the encoding speeds")
  .option("--rounds <n>", "fresh processes for each tokenizer and text", number, 3)
  .option("--limit <seconds>", "most time for one process", number, 60)
  .action(async (options) => {
    const { benchTokenizer } = await import("../bench/tokenizer.ts");
    code = await benchTokenizer(options);
  });

program
  .command("peer <name> <job>", { hidden: true })
  .description("one tokenizer of `bench tokenizer`, in a process of its own")
  .action(async (name, job) => {
    const { work } = await import("../bench/worker.ts");
    await work(name, job);
  });

program
  .command("data")
  .description("the data pipeline: rows and bytes a second, peak memory against the bytes of the packed tokens")
  .option("--rows <counts>", "rows of the synthetic files", counts, [10_000, 100_000, 1_000_000])
  .option("--json", "print one JSON object instead of a table")
  .action(async (options) => {
    const { benchData } = await import("../bench/data.ts");
    code = await benchData(options);
  });

program
  .command("rows <file>", { hidden: true })
  .description("one measurement of `bench data`, in a process of its own")
  .action(async (file) => {
    const { measureRows } = await import("../bench/data.ts");
    await measureRows(file);
  });

program
  .command("step")
  .description(
    "one training step of a GPT-2 with random weights: time, tokens/s, GFLOP/s, memory, share of each kernel",
  )
  .addOption(choice("--model <shape>", "shape of the model", STEP_SHAPES).default("gpt2-micro"))
  .addOption(choice("--mode <mode>", "what learns", MODES).default("lora"))
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(choice("--dtype <type>", "what frozen weights are kept in", WEIGHT_DTYPES).default("f32"))
  .option("--data <file>", "messages (CSV, TSV, JSON lines; default: the bundled corpus)")
  .option("--padding <n>", "pad every message to n tokens (default: packed)", number)
  .option("--max-length <n>", "longest message in tokens", number, 120)
  .option("--batch-size <n>", "messages a step", number, 8)
  .option("--steps <n>", "steps, a batch of its own each", number, 10)
  .addOption(choice("--peer <name>", "the same step in PyTorch, on rows padded to --max-length", ["torch"]))
  .option("--json", "print one JSON object instead of a report")
  .action(async (options) => {
    const { benchStep } = await import("../bench/step.ts");
    code = await benchStep(options);
  });

program
  .command("generate")
  .description("text from a GPT-2 with random weights: time to the first token, tokens/s, share of each kernel")
  .addOption(choice("--model <shape>", "shape of the model", STEP_SHAPES).default("gpt2-micro"))
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--prompts <n>", "prompts at a time", number, 1)
  .option("--length <n>", "tokens of a prompt", number, 32)
  .option("--tokens <n>", "new tokens behind each", number, 64)
  .option("--rounds <n>", "measurements", number, 5)
  .addOption(choice("--peer <name>", "the same with transformers on PyTorch", ["torch"]))
  .option("--json", "print one JSON object instead of a report")
  .action(async (options) => {
    const { benchGenerate } = await import("../bench/generate.ts");
    code = await benchGenerate(options);
  });

program
  .command("matmul")
  .description("the matrix products of a training step, by shape: GFLOP/s")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--rounds <n>", "measurements of each; the best counts", number, 20)
  .option("--json", "print one JSON object instead of a table")
  .action(async (options) => {
    const { benchMatmul } = await import("../bench/matmul.ts");
    code = await benchMatmul(options);
  });

await main(async () => {
  await program.parseAsync();
  return code;
});
