/** classify: classifies texts with a trained model. */

import { isFile } from "#platform";
import { describeDevice } from "../backend/backend.ts";
import { checkNumber } from "../core/checks.ts";
import { ConfigError, nameList } from "../core/errors.ts";
import { isBlank, type Pair, pairSettings, readsPairs, type TextOrPair } from "../core/pair.ts";
import { setting } from "../core/setting.ts";
import { isFolder } from "../data/sets/source.ts";
import { knownFormat } from "../data/table/dialect.ts";
import { LabelLimits } from "../infer/table/label-limits.ts";
import type { Labeller } from "../infer/table/labeller.ts";
import { runOf } from "../io/peft/open-adapter.ts";
import { TASKS } from "../tasks/index.ts";
import type { Labelled } from "../tasks/predictions.ts";
import { calledAs, shellWord } from "./called.ts";
import {
  choice,
  command,
  deviceFlag,
  dtypeFlag,
  inputLines,
  listMain,
  main,
  number,
  print,
  printNote,
  settle,
  suggestFlag,
  threadsFlag,
} from "./cli.ts";
import { isTable, labelFile, type ModelFlags, type TableFlags, tableTexts, withClassifier } from "./label.ts";

const program = command(
  "classify",
  "Classifies texts with a model trained by `train`: those of the command line, or the lines of standard input, or the " +
    "rows of a table, which are written to --out with the columns predicted and probability (of a regression score; of " +
    "several labels predicted, a|b, and a probability each; of a token classifier entities, a list in JSON).",
  [
    '--run runs/first "See you at noon"',
    "--run runs/first --in messages.csv --out labelled.csv",
    "--run runs/first --in unlabelled.csv --out todo.csv --order doubt",
    '--run runs/answers --pair "When do you close?" "At six."',
    '--adapter path/to/peft-adapter --model path/to/gpt2 "some text"',
  ],
)
  .argument("[text...]", "texts to classify, or a file, as --in (default: the lines of standard input)")
  .option("--run <dir>", "a run directory, its adapter/, a zip file of either, or the directory of several runs")
  .option("--in <file>", "classify the texts of a CSV, TSV, JSON, Excel (.xlsx) or Parquet file")
  .option(
    "--out <file>",
    "where its rows are written with their labels; in the same order and unchanged, in the format of --in, CSV for Excel and Parquet; it is there when all rows are done",
  )
  .option(
    "--text-column <name>",
    "text column of --in, of pairs FIRST,SECOND (default: that given to the run's training, or detected)",
  )
  .addOption(
    choice(
      "--order <how>",
      "what to label next comes first in --out; doubt: those rows first whose two most probable classes are closest, " +
        "or whose labels are closest to their thresholds; near-copies of a row above, by the n-grams that they share, come behind all others",
      ["doubt"],
    ),
  )
  .option(
    "--min-probability <p>",
    "give no label, and no entity, whose probability is below p; texts without a label because of it are counted",
    number,
  )
  .option(
    "--pair",
    "the texts are pairs, as the model was trained on; two arguments each, or a line of standard input with a tab between them; " +
      "the texts of a table are in the two columns that training took, or --text-column FIRST,SECOND",
  )
  .option(
    "--json",
    "print one JSON object per text; text, label (or null and the reason), probability, probabilities, labels (of several; label is the most probable of them), " +
      "or score, null for an empty text, or entities, each with label, text, start, end and probability",
  )
  .option("--force", "replace an existing --out")
  .option(
    "--classic",
    "classify with the TF-IDF model that a run keeps, in classic.json; without its base model and without a device; " +
      "--run may then be such a file, too",
  )
  .option(
    "--adapter <dir>",
    "a classifier's adapter of PEFT's; LoRA, prompt or prefix tuning (SEQ_CLS or TOKEN_CLS); also accepts what --run accepts",
  )
  .option("--model <dir|name>", "base model (default: the one that the run or the adapter names)")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(dtypeFlag())
  .option("--sheet <name>", "sheet of an Excel file (default: the only one with cells)")
  .option("--encoding <name>", "encoding of --in where it is not UTF-8, such as windows-1252; --out is UTF-8");
listMain(suggestFlag(program, "--file", "--in"), [
  ...["run", "in", "out", "textColumn", "order", "minProbability", "pair", "json", "force", "adapter", "model"],
]);

interface ClassifyFlags extends TableFlags, ModelFlags {
  run?: string;
  adapter?: string;
  json?: boolean;
  pair?: boolean;
}

/** The file given in place of texts, if any. Throws ConfigError for texts that look like files, and for a folder. */
async function givenFile(texts: readonly string[]): Promise<string | undefined> {
  const [text = "", ...more] = texts;
  if (more.length === 0 && (await isFile(text))) return text;
  const isDirectory = more.length === 0 && (await isFolder(text));
  const areNames = texts.length > 0 && texts.every((name) => /^\S+$/.test(name) && knownFormat(name));
  if (!areNames && !isDirectory) return undefined;
  if (more.length > 0)
    throw new ConfigError("text-is-file-name", "the texts look like files", {
      expected: "texts, or one file",
      found: nameList(texts),
      hint: `${calledAs("classify")} --run DIR ${shellWord(text)}`,
    });
  throw new ConfigError("cannot-read-file", `cannot read ${text}`, {
    expected: "a file, or a text",
    found: isDirectory ? "a directory" : "no such file",
    hint: `if it is the text itself: echo ${shellWord(text)} | ${calledAs("classify")} --run DIR`,
  });
}

/** The arguments or the lines of standard input, some at a time; with --pair as pairs. */
async function* readTexts(args: readonly string[], pair = false): AsyncGenerator<readonly TextOrPair[]> {
  if (!pair) {
    if (args.length > 0) yield args;
    else yield* inputLines();
  } else if (args.length > 0) {
    if (args.length % 2 > 0) throw refuseCount(`${args.length} texts`);
    yield args.flatMap((first, i): Pair[] => (i % 2 === 0 ? [[first, args[i + 1]!]] : []));
  } else
    for await (const lines of inputLines())
      yield lines.map((line): Pair => {
        const [first, second, ...more] = line.split("\t");
        if (second === undefined || more.length > 0) throw refuseCount(line);
        return [first!, second];
      });
}

function refuseCount(found: string): ConfigError {
  return new ConfigError("wrong-text-count", "--pair needs two texts each", {
    expected: "two arguments a pair, or a line with a tab between its two texts",
    found,
  });
}

/** Whether a model reads pairs; undefined: PEFT wrote it, which does not say. A classic model is always ours. */
const trainedPairs = ({ device, meta }: Labeller) => (device ? readsPairs(meta) : pairSettings(meta) !== undefined);

/** `trained`: whether the model reads pairs; undefined: PEFT wrote it, which does not say. */
function checkPairs(trained: boolean | undefined, given = false): void {
  if (trained === undefined || trained === given) return;
  throw new ConfigError("wrong-text-count", `the model reads ${given ? "single texts" : "pairs of texts"}`, {
    expected: given ? "texts without --pair" : "--pair and two texts each",
    hint: `${calledAs("classify")} --run DIR ${given ? '"some text"' : '--pair "some text" "another text"'}`,
  });
}

/**
 * Label and probability; several labels, each with its probability; a score; or entities, each with its label. Empty
 * for a blank text.
 */
function shownFields(result: Labelled): string[] {
  if ("score" in result) return [result.score?.toFixed(4) ?? ""];
  if ("entities" in result) return [result.entities.map(({ label, text }) => `${label}: ${text}`).join("|")];
  const { label, probability, labels, probabilities } = result;
  if (labels === undefined) return [label ?? "", probability?.toFixed(4) ?? ""];
  return [labels.join("|"), labels.map((name) => probabilities[name]!.toFixed(4)).join("|")];
}

await main(async () => {
  program.parse();
  const flags = program.opts<ClassifyFlags>();
  const file = flags.in === undefined && !flags.pair ? await givenFile(program.args) : undefined;
  const args = file === undefined ? program.args : [];
  if (file !== undefined) flags.in = file;
  const { run, adapter, json, minProbability } = flags;
  if (minProbability !== undefined) checkNumber(setting("minProbability"), minProbability, { min: 0, max: 1 });
  const given = run ?? adapter;
  if (given === undefined || (run !== undefined && adapter !== undefined))
    throw new ConfigError("one-option-required", "exactly one of --run and --adapter is required", {
      expected: "--run DIR or --adapter DIR",
      found: given === undefined ? "neither" : "both",
      hint: `${calledAs("classify")} --run DIR "some text"`,
    });
  if (flags.pair && flags.in !== undefined)
    throw new ConfigError("options-conflict", "--pair is for texts, not for a table", {
      expected: "--text-column FIRST,SECOND, unless the columns are those of the training",
    });
  const directory = await runOf(given);
  if (isTable(flags, args.length > 0, json === true)) {
    await labelFile(directory, flags);
    return 0;
  }
  if (args.length === 0 && flags.in === undefined && process.stdin.isTTY)
    throw new ConfigError("no-input", "there is no text to classify", {
      expected: "texts on the command line, or lines on standard input",
      hint: `${calledAs("classify")} --run DIR "some text"`,
    });
  await settle(directory);
  const groups = flags.in === undefined ? readTexts(args, flags.pair) : await tableTexts(flags.in, directory, flags);
  await withClassifier(directory, flags, async (classifier, device) => {
    let kind = device?.info.kind;
    /** Says that the CPU has replaced the device, if it has. */
    const noteDevice = () => {
      if (!classifier.device) return;
      if (classifier.device.kind !== kind) printNote(`device: ${describeDevice(classifier.device)}`);
      ({ kind } = classifier.device);
    };
    noteDevice();
    if (flags.in === undefined) checkPairs(trainedPairs(classifier), flags.pair);
    const { method, blank: empty } = TASKS[classifier.meta.task.objective].predicts!;
    const limits = new LabelLimits(classifier, minProbability);
    let [count, blank] = [0, 0];
    const classify = async (texts: readonly TextOrPair[]) => {
      const results = await classifier[method]!(texts);
      noteDevice();
      count += texts.length;
      results.forEach((made, i) => {
        const text = texts[i]!;
        const result = isBlank(text) ? empty() : limits.apply(made);
        if (isBlank(text)) blank++;
        if (json) console.log(JSON.stringify({ text, ...result }));
        // A line with tab-separated fields: label and probability or score, and the text or both.
        else
          print(
            [...shownFields(result), text]
              .flat()
              .map((field) => field.replace(/[\t\n\r]/g, " "))
              .join("\t"),
          );
      });
    };
    for await (const texts of groups) await classify(texts);
    if (blank > 0)
      printNote(`${blank} of ${count} texts are empty and have no ${method === "score" ? "score" : "label"}`);
    for (const line of limits.describe(count)) printNote(line);
  });
  return 0;
});
