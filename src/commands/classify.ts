/** classify: classifies texts with a trained model. */

import { describeDevice } from "../backend/backend.ts";
import { type DeviceName, openDevice } from "../backend/device.ts";
import type { WeightDtype } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { Classifier } from "../infer/classifier.ts";
import { downloadProgress } from "../report/download.ts";
import { calledAs } from "./called.ts";
import { command, deviceFlag, dtypeFlag, inputLines, main, print, printNote, settle, threadsFlag } from "./cli.ts";
import { isTable, labelFile, type TableFlags } from "./label.ts";

const UNLIKE = "unlike the training data";

const program = command(
  "classify",
  "Classifies texts with a model trained by `train`, or with an adapter of PEFT's for sequence classification. " +
    "Texts are read from the command line, or from standard input, one per line. With --in, the rows of a table are written " +
    "to --out, in the same order and unchanged, with the columns predicted and probability; a command that was killed continues " +
    "where it was.",
  [
    '--run runs/first "You have won a prize, call now"',
    '--run runs/first --json "See you at noon" "Free entry"',
    "--run runs/first --in messages.csv --out labelled.csv",
    '--adapter path/to/peft-adapter --model path/to/gpt2 "some text"',
  ],
)
  .argument("[text...]", "texts to classify (default: the lines of standard input)")
  .option("--run <dir>", "a run directory, or its adapter/")
  .option(
    "--adapter <dir>",
    "a classifier's adapter of PEFT's (LoRA, prompt or prefix tuning; SEQ_CLS); also accepts what --run accepts",
  )
  .option("--model <dir|name>", "base model (default: the one that the run or the adapter names)")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(dtypeFlag())
  .option(
    "--json",
    "print one JSON object per text: text, label, probability, probabilities, unlike (the training data)",
  )
  .option("--in <file>", "label the rows of a CSV, TSV, JSON or Parquet file")
  .option("--out <file>", "where they are written with their labels, in the format of --in; CSV for Parquet")
  .option("--text-column <name>", "text column of --in (default: detected)")
  .option("--encoding <name>", "encoding of --in where it is not UTF-8, such as windows-1252; --out is UTF-8")
  .option("--force", "replace an existing --out, and do not continue an unfinished one");

interface Flags extends TableFlags {
  run?: string;
  adapter?: string;
  model?: string;
  device: DeviceName;
  threads?: number;
  dtype?: WeightDtype;
  json?: boolean;
}

await main(async () => {
  program.parse();
  const flags = program.opts<Flags>();
  const { run, adapter, model, device: name, threads = 0, dtype, json } = flags;
  const directory = run ?? adapter;
  if (directory === undefined || (run !== undefined && adapter !== undefined))
    throw new ConfigError("exactly one of --run and --adapter is required", {
      expected: "--run DIR or --adapter DIR",
      found: directory === undefined ? "neither" : "both",
      hint: `${calledAs("classify")} --run DIR "some text"`,
    });
  if (isTable(flags, program.args.length > 0 || json === true)) {
    await labelFile(directory, flags);
    return 0;
  }
  if (program.args.length === 0 && process.stdin.isTTY)
    throw new ConfigError("there is no text to classify", {
      expected: "texts on the command line, or lines on standard input",
      hint: `${calledAs("classify")} --run DIR "some text"`,
    });
  await settle(directory);
  const device = await openDevice(name, { threads });
  try {
    const classifier = await Classifier.load(directory, {
      device,
      onProgress: downloadProgress(process.stderr),
      ...(model === undefined ? {} : { model }),
      ...(dtype === undefined ? {} : { dtype }),
    });
    if (classifier.device.kind !== device.info.kind) printNote(`device: ${describeDevice(classifier.device)}`);
    let [count, unlike] = [0, 0];
    const classify = async (texts: string[]) => {
      const results = await classifier.classify(texts);
      count += texts.length;
      results.forEach((result, i) => {
        const text = texts[i]!;
        const { label, probability } = result;
        if (result.unlike) unlike++;
        if (json) console.log(JSON.stringify({ text, ...result }));
        // One line per text with three tab-separated fields, and a fourth if it is unlike the training data.
        else
          print(
            [label, probability.toFixed(4), text, ...(result.unlike ? [UNLIKE] : [])]
              .map((field) => field.replace(/[\t\n\r]/g, " "))
              .join("\t"),
          );
      });
    };
    if (program.args.length > 0) await classify(program.args);
    else for await (const texts of inputLines()) await classify(texts);
    if (unlike > 0) printNote(`${unlike} of ${count} texts are ${UNLIKE}: their labels mean little`);
    classifier.destroy();
  } finally {
    device.destroy();
  }
  return 0;
});
