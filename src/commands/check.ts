/** check: what is wrong with data, and how to train on it; nothing is trained. */
import { openBackend } from "../backend/device.ts";
import { DeviceError } from "../core/errors.ts";
import { nameSettings } from "../core/surface.ts";
import { asProblem } from "../data/problems.ts";
import { type BaseModel, describeModel, loadModel } from "../io/hf.ts";
import { checkData, type DataCheck, type Readable } from "../run/check.ts";
import { loadData } from "../run/load-data.ts";
import { mergePreset, PRESETS, pickSettings } from "../run/settings.ts";
import { estimateTrial, type TrialEstimate } from "../train/estimate.ts";
import { RUN_SETTINGS, type RunSettings } from "../train/settings.ts";
import { checkBlocks, commandBlocks } from "../views/check.ts";
import { asArguments, asFlag } from "../views/terminal/flag-words.ts";
import { calledAs, shellWord } from "./called.ts";
import { command, type DeviceFlags, deviceFlag, main, printNote, threadsFlag } from "./cli.ts";
import { addSettings, groupFlags, parseFlags, takeFile } from "./flags.ts";

import { printBlocks } from "./run-printer.ts";
import { DOWNLOADS } from "./run-study.ts";

const program = command(
  "check",
  "Reads data as train does and says all that it finds at once: which columns are text and label and why, what can be learned of them, rows that " +
    "are invalid, texts that are repeated or have different labels, labels with few rows, texts that are too long, and the memory and the time of a run. " +
    "Nothing is trained. At the end is a command that trains, with the flags that the data needs.\n" +
    `Every flag of train for data, model and training is accepted, such as --label-column or --model: --help settings lists them.\n` +
    "The exit code is 0 if the command trains, and 1 if the data cannot be trained on as it is.",
  ["my.csv", "my.csv --text-column body --label-column queue", "my.csv --model smollm2-135m --json"],
);
/** A run is checked that starts from no adapter. */
const SHARED = RUN_SETTINGS.filter((name) => name !== "adapter");
addSettings(program, SHARED);
groupFlags(program);
program
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--json", "print what was found as one JSON object")
  .argument("[file]", "as --data FILE")
  .allowExcessArguments(false);

interface CheckFlags extends RunSettings, DeviceFlags {
  json?: boolean;
}

const complete = (settings: RunSettings) => pickSettings(mergePreset(settings, PRESETS.quickstart));

function trainCommand({ data, ...settings }: RunSettings, { device, threads }: DeviceFlags): string {
  const files = [data ?? []].flat();
  const isOne = files.length === 1;
  const flags = [
    ...Object.entries({ ...(isOne ? {} : { data: files }), ...settings }).flatMap(asArguments),
    ...(device === "auto" ? [] : ["--device", device]),
    ...(threads === undefined ? [] : ["--threads", String(threads)]),
  ];
  return [calledAs("train"), ...[...(isOne ? files : []), ...flags].map(shellWord)].join(" ");
}

/** The memory and the time of a run. What does not fit is a problem, with the settings of its hint. */
async function estimate(settings: RunSettings, { data, options }: Readable, flags: CheckFlags) {
  const device = await openBackend(flags.device, { threads: flags.threads });
  const model = await loadModel(complete(settings).model!, DOWNLOADS);
  try {
    return await estimateTrial({ device, model, data, ...options });
  } finally {
    device.destroy();
    await model.close();
  }
}

await main(async () => {
  program.parse();
  takeFile(program);
  const { json = false, ...flags } = parseFlags<CheckFlags>(program, SHARED);
  const models = new Map<string, Promise<BaseModel>>();
  const openModel = (name: string) => {
    if (!models.has(name)) models.set(name, describeModel(name, DOWNLOADS));
    return models.get(name)!;
  };
  const check = await checkData(pickSettings(flags), {
    complete,
    openModel,
    load: (source, model, onTable) => loadData(source, model, DOWNLOADS, onTable),
  });
  const { readable, problems } = check;
  let costs: TrialEstimate | null = null;
  if (readable) {
    if (!json) printNote("timing a few steps of a run");
    try {
      costs = await estimate(check.settings, readable, flags);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      const found = asProblem(error);
      problems.push(found);
      Object.assign(check.settings, found.settings);
    }
  }
  const words = readable ? trainCommand(check.settings, flags) : null;
  if (json) console.log(JSON.stringify(asJson(check, costs, words)));
  else printBlocks([...checkBlocks(check, costs), ...(words === null ? [] : commandBlocks(words))]);
  return words === null ? 1 : 0;
});

/** The report as plain data: the words of its problems are those of the commands. */
function asJson(
  { columns, settings, problems, readable }: DataCheck,
  costs: TrialEstimate | null,
  command: string | null,
) {
  const { objective, source, labels, stats, maxLength } = readable?.data ?? {};
  const { device, bytes, seconds } = costs ?? {};
  return {
    type: "check",
    trains: readable !== null,
    command,
    settings,
    source,
    objective,
    columns,
    labels,
    stats,
    maxLength,
    problems: problems.map(({ text, surplus: _, ...found }) => ({ ...found, text: nameSettings(text, asFlag) })),
    run: costs && { device, bytes, seconds },
  };
}
