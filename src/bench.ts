/** bench: measures what is claimed. Every subcommand is loaded when it is asked for, so that none weighs on another. */
import { command, main, number } from "./cli.ts";

const program = command(
  "bench",
  "Measures speed, memory and size, and compares them with others.",
  "  bench tokenizer\n  bench tokenizer --texts sms.csv --texts book.txt --svg tokenizers.svg\n  bench data --json",
);
let code = 0;

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
    const { benchTokenizer } = await import("./bench/tokenizer.ts");
    code = await benchTokenizer(options);
  });

program
  .command("peer <name> <job>", { hidden: true })
  .description("one tokenizer of `bench tokenizer`, in a process of its own")
  .action(async (name, job) => {
    const { work } = await import("./bench/worker.ts");
    await work(name, job);
  });

await main(async () => {
  await program.parseAsync();
  return code;
});
