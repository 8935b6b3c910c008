/** sweep: trains over a grid of settings and writes a report. */

import { environment, joinPath } from "#platform";
import type { Backend } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import { isObject } from "../checks.ts";
import { textContext } from "../config.ts";
import { digestData } from "../data/digest.ts";
import type { TrainingData } from "../data/texts.ts";
import { makeTable, text } from "../document/blocks.ts";
import { ConfigError } from "../errors.ts";
import { formatDuration } from "../format.ts";
import { countOf, readJson } from "../io/common.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type BaseModel, loadModel } from "../io/hf.ts";
import { LIMITS } from "../io/limits.ts";
import { methodConfig } from "../methods/training.ts";
import { parameterList } from "../model/trainable.ts";
import { countBase } from "../names.ts";
import { formatBytes } from "../plan/memory.ts";
import { loadData } from "../run/load-data.ts";
import { BUNDLED_GPT2, dataOptions, dataSpec, mergePreset, PRESETS, readSetting } from "../run/settings.ts";
import {
  type Arm,
  type Cell,
  checkArms,
  checkKeys,
  describeTrial,
  expandArms,
  formatRate,
  listCells,
  runnableTrials,
  type SweepSpec,
  type Trial,
} from "../study/grid.ts";
import { finishedTrials } from "../study/outcome.ts";
import { SWEEPS, type SweepPreset } from "../study/presets.ts";
import type { SweepEvent } from "../study/runner.ts";
import { costsIn, divide, trialShape } from "../study/shards.ts";
import { collect, keepPart, partCount, readCell } from "../study/store.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { isUnequal } from "../train/class-weights.ts";
import { estimateTrial, type TrialEstimate } from "../train/estimate.ts";
import { DEFAULTS } from "../train/options.ts";
import { checkVocabulary } from "../train/prepare.ts";
import { RUN_SETTINGS, type RunSettings } from "../train/settings.ts";
import { runSpec } from "../train/sizes.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { renderBlocks } from "../views/terminal/render.ts";
import { terminalWidth } from "../views/terminal/width.ts";
import { calledAs } from "./called.ts";
import {
  choice,
  command,
  type DeviceFlags,
  deviceFlag,
  gather,
  Interruption,
  main,
  number,
  print,
  printNote,
  threadsFlag,
  UNLISTED,
} from "./cli.ts";
import { addSettings, parseFlags } from "./flags.ts";
import { TrialPrinter } from "./trial-printer.ts";

interface SweepFlags extends RunSettings, DeviceFlags {
  preset?: keyof typeof SWEEPS;
  file?: string;
  grid?: string[];
  seeds: number;
  shard?: string;
  collect?: string[];
  dryRun?: boolean;
  out: string;
}

const program = command(
  "sweep",
  "Trains classifiers, or with --objective regressions or language models, over a grid of settings and reports the results with confidence intervals. If the sweep is " +
    "interrupted, run the same command again to resume it; finished trials are not repeated.\n" +
    `Every flag for data, model and training that train has is accepted, such as --data my.csv or --epochs 10, and applies to all trials: ${calledAs("train")} --help lists them.`,
  [
    "--preset paper --model gpt2-micro --lr 1e-3 --train train.csv --val val.csv --test test.csv",
    "--grid rank=4,8 --grid alpha=8,16 --grid mode=lora,last_layer --seeds 3 --dry-run",
    "--file sweep.json --shard 1/4 --out shared",
    "--preset paper ... --collect shard1 shard2 --out all",
  ],
);
/** Trials start from no adapter. */
const SHARED = RUN_SETTINGS.filter((name) => name !== "adapter");
addSettings(program, SHARED);
for (const option of program.options) if (option.attributeName() !== "version") option.helpGroup(UNLISTED);
program
  .addOption(
    choice(
      "--preset <name>",
      "a predefined sweep: paper is the published experiment, lora the same with a learning rate of its own for each cell, methods " +
        "compares LoRA with the other modes, each at its own rate",
      Object.keys(SWEEPS),
    ),
  )
  .option(
    "--file <file>",
    "a sweep in JSON: { base: {settings}, arms: [{key: value or [values]}, ...] }; with lr: { choose: [rates] } each " +
      "combination of an arm has the rate that is best on the validation set with the first seed",
  )
  .option("--grid <key=v1,v2...>", "values of a setting; repeat --grid to combine settings", gather)
  .option("--seeds <k>", "number of runs per setting, with consecutive seeds starting at --seed", number, 1)
  .option(
    "--shard <i/n>",
    "run only part i of n, which have about the same work; /n takes i from JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID",
  )
  .option(
    "--collect <dirs...>",
    "first copy the finished trials from the output directories of other shards, and name those that are missing",
  )
  .option("--dry-run", "list the trials with their estimated memory and time, without running them")
  .option("--out <dir>", "output directory of the sweep", "runs/sweep")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .allowExcessArguments(false);

/** Downloads are reported on stderr. */
const DOWNLOADS = { onProgress: downloadProgress(process.stderr) };

/** Parses "rank=4,8" as ["rank", [4, 8]]. "+" joins targets and layers: "targets=q+v,all", "layers=0+5-8,all". */
function gridEntry(text: string): [string, unknown[]] {
  const [key, values] = text.split("=", 2);
  if (!key || !values)
    throw new ConfigError("invalid-value", "--grid is invalid", { expected: "key=value,value", found: text });
  return [key, values.split(",").map((value) => readSetting(key, value))];
}

async function sweepSpec({ preset, file, grid }: SweepFlags): Promise<SweepPreset> {
  const given = [preset && "--preset", file && "--file", grid && "--grid"].filter(Boolean);
  if (given.length !== 1)
    throw new ConfigError("one-option-required", "exactly one of --preset, --file and --grid is required", {
      expected: "one of --preset, --file and --grid",
      found: given.join(", ") || "none of them",
    });
  if (preset) return SWEEPS[preset]!;
  if (grid) return { base: {}, arms: [Object.fromEntries(grid.map(gridEntry)) as Arm] };
  const { base = {}, arms } = checkSpec(await readJson(file!, LIMITS.sweep), file!);
  checkKeys(base, SHARED, "the base", file);
  return { base, arms };
}

function checkSpec(spec: unknown, file: string): Pick<SweepSpec, "arms"> & Partial<SweepSpec> {
  const { base = {}, arms } = (isObject(spec) ? spec : {}) as Partial<SweepSpec>;
  const areObjects = Array.isArray(arms) && arms.every(isObject);
  if (areObjects && isObject(base)) return { arms, base };
  throw new ConfigError("invalid-sweep", "the sweep file is invalid", {
    where: file,
    expected: "JSON with `arms`, and optionally `base` for shared settings",
    found: areObjects ? "`base` is not an object" : "`arms` is not a list of objects",
    hint: "the file with the data is given with --data",
  });
}

/** The part of the sweep that this process runs: all trials, or part i of n. */
interface Shard {
  i: number;
  n: number;
}

const WHOLE: Shard = { i: 1, n: 1 };

function parseShard(flag: string | undefined): Shard {
  if (flag === undefined) return WHOLE;
  const index = environment("JOB_COMPLETION_INDEX") ?? environment("SLURM_ARRAY_TASK_ID");
  const text = flag.startsWith("/") && index !== undefined ? `${Number(index) + 1}${flag}` : flag;
  const [, i, n] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (!i || !n || Number(i) < 1 || Number(i) > Number(n))
    throw new ConfigError("invalid-value", "--shard is invalid", {
      expected: "i/n with i from 1 to n, or /n if the environment sets the index, from 0 to n - 1",
      found: text,
    });
  return { i: Number(i), n: Number(n) };
}

const trialTitle = (trial: Trial) =>
  `${describeTrial(trial)}, rate ${formatRate(trial.options.lr)}, seed ${trial.options.seed}`;

/** The models of the sweep by name, closed: each is read once, for its fingerprint. */
const models = new Map<string, Promise<BaseModel>>();

/** Throws the errors of `loadModel`. */
function sweepModel(name: string): Promise<BaseModel> {
  const known = models.get(name) ?? loadModel(name, DOWNLOADS).then(readModel);
  models.set(name, known);
  return known;
}

async function readModel(model: BaseModel): Promise<BaseModel> {
  try {
    await fingerprint(model);
    return model;
  } finally {
    await model.close();
  }
}

/** The trials' models by name. Throws ConfigError, before anything runs, if a trial's settings do not fit its model. */
async function checkModels(trials: readonly Trial[], data: TrainingData): Promise<ReadonlyMap<string, BaseModel>> {
  const known = new Map<string, BaseModel>();
  for (const name of new Set(trials.map((trial) => trial.model))) {
    const model = await sweepModel(name);
    checkVocabulary(data, model);
    for (const { options } of trials.filter((trial) => trial.model === name))
      parameterList(runSpec(model, data, options));
    known.set(name, model);
  }
  return known;
}

/**
 * Lists the trials with trainable parameters, memory and time, which is estimated from a few steps of each shape.
 * `later` are in place of those whose learning rate is not chosen yet.
 */
async function dryRun(
  trials: readonly Trial[],
  later: readonly Trial[],
  data: TrainingData,
  flags: SweepFlags,
): Promise<void> {
  const backend = await openDevice(flags.device, { threads: flags.threads });
  const known = new Map<string, TrialEstimate>();
  const shapes = new Set([...trials, ...later].map(trialShape)).size;
  const estimate = async (trial: Trial) => {
    const key = trialShape(trial);
    if (!known.has(key)) {
      printNote(`timing a few steps, ${known.size + 1} of ${shapes}: ${describeTrial(trial)}`);
      const model = await loadModel(trial.model, DOWNLOADS);
      const options = { device: backend, model, data, ...trial.options };
      known.set(key, await estimateTrial(options).finally(() => model.close()));
    }
    return { trial, ...known.get(key)! };
  };
  try {
    const rows: (TrialEstimate & { trial: Trial; number: number })[] = [];
    for (const [i, trial] of trials.entries()) rows.push({ ...(await estimate(trial)), number: i + 1 });
    const after = [];
    for (const trial of later) after.push(await estimate(trial));
    const all = [...rows, ...after];
    const total = all.reduce((sum, { seconds }) => sum + seconds, 0);
    const devices = [...new Set(all.map(({ device }) => device))].join(" and ");
    const chosen = after.length > 0 ? ` (${after.length} of them at the learning rates that are then chosen)` : "";
    const table = makeTable<(typeof rows)[number]>(
      "trials",
      "Trials, with the memory and the time that each takes",
      [
        { title: "", key: null, value: ({ number }) => number },
        { title: "Trial", key: "trial", value: ({ trial }) => describeTrial(trial) },
        { title: "Rate", key: "rate", format: formatRate, value: ({ trial }) => trial.options.lr },
        { title: "Seed", key: "seed", value: ({ trial }) => trial.options.seed },
        { title: "Trainable", key: "trainable", value: ({ trainable }) => trainable },
        { title: "Memory", key: "memory", format: formatBytes, value: ({ bytes }) => bytes },
        { title: "Time, about", key: "time", format: formatDuration, value: ({ seconds }) => seconds },
      ],
      rows,
    );
    const effort = `${all.length} trials${chosen}, about ${formatDuration(total)} of training steps one after the other on ${devices}`;
    console.log(renderBlocks([table, text(effort)], terminalWidth(process.stdout)));
  } finally {
    backend.destroy();
  }
}

await main(async () => {
  program.parse();
  const flags = parseFlags<SweepFlags>(program, SHARED);
  const shard = parseShard(flags.shard);
  const { base, arms, about } = await sweepSpec(flags);
  checkArms(Array.isArray(arms) ? arms : [], flags.seeds);
  // Flags take precedence over the sweep's base, and that over the bundled model and the quickstart's data.
  const { dataset } = PRESETS.quickstart;
  const settings = mergePreset(flags, mergePreset(base, { model: BUNDLED_GPT2, dataset }));
  const { objective = DEFAULT_OBJECTIVE, seed = DEFAULTS.seed } = settings;
  const source = dataSpec(settings);
  const model = await sweepModel(settings.model!);
  const { config } = model;
  const sweep: SweepSpec = { base: settings, arms: typeof arms === "function" ? arms(config, settings) : arms };
  // All trials have the same texts: the most virtual tokens of any leave this room.
  let context = config.n_positions;
  const sizes = new Map<string, number>();
  for (const { model, rates } of expandArms(sweep)) {
    sizes.set(model, countBase((await sweepModel(model)).config));
    for (const options of rates) context = Math.min(context, textContext(config, methodConfig(options)));
  }
  const data = await loadData(
    { objective, data: { ...source, ...dataOptions(settings, seed, context) } },
    model,
    DOWNLOADS,
  );
  sweep.known = (name) => ({ rows: data.train.size, parameters: sizes.get(name)! });
  // Where no weights are needed, a trial is the same with and without them.
  if (!isUnequal(data)) sweep.base = { ...settings, classWeights: "none" };
  // Data and models are identified by their contents: a moved file is the same, a changed one is not.
  const digest = await digestData(data);
  const identify = async (name: string) => ({ data: digest, base: await fingerprint(await sweepModel(name)) });
  const cells = await listCells(sweep, flags.seeds, identify);
  const now = runnableTrials(cells);
  const later = without(
    runnableTrials(cells, () => 0),
    now,
  );
  const known = await checkModels(now, data);
  const trialCost = costsIn(data, (name) => known.get(name)!);
  const parts = shard.n > 1 ? divide(cells, shard.n, trialCost) : undefined;
  const part = `${shard.i}/${shard.n}`;
  const isMine = ({ key }: Trial) => parts === undefined || parts.get(key) === shard.i;
  if (!flags.collect && ![...now, ...later].some(isMine)) {
    print(`part ${part} has no trials: the sweep has ${now.length + later.length}`);
    return 0;
  }
  if (flags.dryRun) {
    await dryRun(now.filter(isMine), later.filter(isMine), data, flags);
    return 0;
  }
  const { out } = flags;
  // Before the trials, so that a sweep does not depend on files that change meanwhile.
  const { writeReport } = await import("../views/study/report.ts");
  const device = await openDevice(flags.device, { threads: flags.threads });
  try {
    if (flags.shard) await keepPart(out, part);
    if (flags.collect) {
      const collected = await collect(out, flags.collect);
      print(`${collected} ${collected === 1 ? "trial" : "trials"} collected`);
      await printMissing(out, cells, trialCost, await partCount(flags.collect));
    }
    const failed = await runAll(device, out, cells, isMine, data);
    if (failed === null) return 130;
    const readAll = () => Promise.all(cells.map((cell) => readCell(out, cell)));
    let finished = await readAll();
    // Shards with the same output directory write the same report: of what others finish meanwhile it is written again.
    for (let done = 0; done < finishedTrials(finished).length; finished = await readAll()) {
      done = finishedTrials(finished).length;
      await writeReport(out, finished, data, about);
    }
    const done = finishedTrials(finished).length;
    if (done > 0) {
      const all = runnableTrials(finished, ({ chosen = 0 }) => chosen);
      print(`report of ${done} of ${all.length} trials: ${joinPath(out, "report.html")}`);
    }
    const waiting = finished.filter(({ missing }) => missing.length > 0);
    const missing = waiting.flatMap((cell) => cell.missing);
    if (missing.length > 0)
      print(
        `the learning rate of ${countOf(waiting, "setting")} is chosen after ${countOf(missing, "trial")} of other shards, ` +
          `such as: ${trialTitle(missing[0]!)}; then run this command again`,
      );
    return failed > 0 ? 1 : 0;
  } finally {
    device.destroy();
  }
}, "files");

/** Names the trials that are not there, each with its part of `parts`. */
async function printMissing(
  out: string,
  cells: readonly Cell[],
  trialCost: (trial: Trial) => number,
  parts: number | undefined,
): Promise<void> {
  const read = await Promise.all(cells.map((cell) => readCell(out, cell)));
  const known = runnableTrials(read, ({ chosen }) => chosen);
  const missing = without(
    known,
    finishedTrials(read).map(({ trial }) => trial),
  );
  const later = runnableTrials(read, ({ chosen = 0 }) => chosen).length - known.length;
  if (missing.length === 0) return;
  const division = parts === undefined ? undefined : divide(cells, parts, trialCost);
  const more = later > 0 ? `, and ${later} more at learning rates that are not chosen yet` : "";
  print(`${countOf(missing, "trial")} missing${more}:`);
  for (const trial of missing)
    print(`  ${trialTitle(trial)}${division ? `: part ${division.get(trial.key)}/${parts}` : ""}`);
}

function without(trials: readonly Trial[], others: readonly { key: string }[]): Trial[] {
  const keys = new Set(others.map(({ key }) => key));
  return trials.filter(({ key }) => !keys.has(key));
}

/**
 * Runs the shard's trials: first those that need no results, then the further seeds of the cells whose learning rate
 * can be chosen. Returns the number of failed trials, or null if the sweep was interrupted.
 */
async function runAll(
  device: Backend,
  out: string,
  cells: readonly Cell[],
  isMine: (trial: Trial) => boolean,
  data: TrainingData,
): Promise<number | null> {
  const { runTrials } = await import("../study/runner.ts");
  const { runFiles: views } = await import("../views/run-files.ts");
  const printer = new TrialPrinter(data.objective, "trial", trialTitle);
  const interruption = new Interruption(
    "stopping after a checkpoint; interrupt again to stop immediately. The same command resumes the sweep.",
  );
  const { signal } = interruption;
  const onEvent = (event: SweepEvent) => {
    if (event.type === "step" && !signal.aborted) interruption.begin();
    // There is nothing to save before the first step.
    else if (event.type === "group") interruption.end();
    printer.event(event);
  };
  const run = (trials: readonly Trial[]) =>
    runTrials({ out, trials: trials.filter(isMine), device, data, signal, views, onEvent });
  try {
    const now = runnableTrials(cells);
    const failed = await run(now);
    const read = await Promise.all(cells.map((cell) => readCell(out, cell)));
    const all = runnableTrials(read, ({ chosen }) => chosen);
    const failedLater = await run(without(all, now));
    return signal.aborted ? null : failed + failedLater;
  } finally {
    interruption.end();
    printer.stop();
  }
}
