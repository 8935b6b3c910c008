/** sweep: trains over a grid of settings and writes a report. */

import { environment } from "#platform";
import { openBackend } from "../backend/device.ts";
import { checkNumber, isObject } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { countOf, readJson } from "../io/common.ts";
import { describeModel } from "../io/hf.ts";
import { LIMITS } from "../io/limits.ts";
import { BUNDLED_GPT2 } from "../record/base-name.ts";
import { mergePreset, PRESETS, pickSettings, readSetting } from "../run/settings.ts";
import { candidateArms, candidateBases } from "../study/candidates.ts";
import {
  type Arm,
  checkKeys,
  runnableTrials,
  type SweepSpec,
  type Trial,
  titleTrials,
  without,
} from "../study/grid.ts";
import { candidateCells } from "../study/halving.ts";
import { finishedTrials } from "../study/outcome.ts";
import { SWEEPS, type SweepPreset } from "../study/presets.ts";
import { divide } from "../study/shards.ts";
import { collect, type FinishedCell, readFinishedCells } from "../study/store.ts";
import { readStudy, refuseForeign, refuseOther } from "../study/study-record.ts";
import { RUN_SETTINGS, type RunSettings } from "../train/settings.ts";
import {
  choice,
  command,
  type DeviceFlags,
  deviceFlag,
  gather,
  main,
  number,
  print,
  printNote,
  threadsFlag,
} from "./cli.ts";
import { addSettings, groupFlags, parseFlags, takeFile } from "./flags.ts";
import { neededSettings } from "./job.ts";
import { planStudy } from "./plan-study.ts";
import { DOWNLOADS, openStudy, runStudy } from "./run-study.ts";

interface SweepFlags extends RunSettings, DeviceFlags {
  preset?: keyof typeof SWEEPS;
  file?: string;
  grid?: string[];
  minutes?: number;
  seeds: number;
  shard?: string;
  collect?: string[];
  plan?: boolean;
  json?: boolean;
  out: string;
}

const program = command(
  "sweep",
  "Trains classifiers, or with --objective regressions or language models, over a grid of settings and reports the results with confidence intervals. If the sweep is " +
    "interrupted, run the same command again to resume it; finished trials are not repeated. Without data it takes 100 of the bundled messages, as train does.\n" +
    `Every flag for data, model and training that train has is accepted, such as --data my.csv or --epochs 10, and applies to all trials: --help settings lists them.`,
  [
    "my.csv --minutes 10",
    "--preset paper --model gpt2-micro --lr 1e-3 --data train.csv --val val.csv --test test.csv",
    "messages.csv --grid rank=4,8 --grid mode=lora,last_layer --seeds 3 --plan",
    "--file sweep.json --shard 1/4 --out shared",
    "--preset paper ... --collect shard1 shard2 --out all",
  ],
);
/** Trials start from no adapter. */
const SHARED = RUN_SETTINGS.filter((name) => name !== "adapter");
addSettings(program, SHARED);
groupFlags(program);
program
  .addOption(
    choice(
      "--preset <name>",
      "a predefined sweep: paper is the published experiment, methods " +
        "compares LoRA with the other modes, each at its own rate",
      Object.keys(SWEEPS),
    ),
  )
  .option(
    "--file <file>",
    "a sweep in JSON: { base: {settings}, arms: [{key: value or [values]}, ...] }; with lr: { choose: [rates] } each " +
      "combination has the rate that is best on the validation set with the first seed",
  )
  .option("--grid <key=v1,v2,...>", "values of a setting; repeat --grid to combine settings", gather)
  .option(
    "--minutes <n>",
    "train only what fits into so many minutes, by successive halving: all settings for few epochs, the best third of them for three " +
      "times as many, and so on; without --preset, --file and --grid it tries a built-in list of base models, methods and learning rates",
    number,
  )
  .option("--seeds <k>", "number of runs per setting, with consecutive seeds starting at --seed", number, 1)
  .option(
    "--shard <i/n>",
    "run only part i of n, which have about the same work; /n takes i from JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID",
  )
  .option(
    "--collect <dirs...>",
    "first copy the finished trials from other shards' directories, and name those that are missing",
  )
  .option("--plan", "print the trials with the memory and the time that each takes, by a few steps, and exit")
  .option("--out <dir>", "output directory of the sweep", "runs/sweep")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--json", "print only events on stdout, as JSON, one per line")
  .argument("[file]", "as --data FILE")
  .allowExcessArguments(false);

/** Parses "rank=4,8" as ["rank", [4, 8]]. "+" joins targets and layers: "targets=q+v,all", "layers=0+5-8,all". */
function gridEntry(text: string): [string, unknown[]] {
  const [key, values] = text.split("=", 2);
  if (!key || !values)
    throw new ConfigError("invalid-value", "--grid is invalid", { expected: "key=value,value", found: text });
  return [key, values.split(",").map((value) => readSetting(key, value))];
}

async function sweepSpec(flags: SweepFlags): Promise<SweepPreset> {
  const { preset, file, grid, minutes } = flags;
  const given = [preset && "--preset", file && "--file", grid && "--grid"].filter(Boolean);
  if (given.length === 0 && minutes !== undefined) return builtIn(flags);
  if (given.length !== 1)
    throw new ConfigError("one-option-required", "exactly one of --preset, --file and --grid is required", {
      expected: "one of --preset, --file and --grid",
      found: given.join(", ") || "none of them",
      hint: "--minutes 10 alone tries a built-in list of settings",
    });
  if (preset) return SWEEPS[preset]!;
  if (grid) return { base: {}, arms: [Object.fromEntries(grid.map(gridEntry)) as Arm] };
  const spec = checkSpec(await readJson(file!, LIMITS.sweep), file!);
  checkKeys(spec.base, SHARED, "the base", file);
  return spec;
}

/** The settings that are tried where none are given to try. */
async function builtIn(flags: SweepFlags): Promise<SweepPreset> {
  const names = candidateBases(flags);
  const bases = await Promise.all(
    names.map(async (name) => ({ name, config: (await describeModel(name, DOWNLOADS)).config })),
  );
  return {
    base: { model: names[0]! },
    arms: candidateArms(bases, flags),
    about:
      "The settings are a built-in list: base models, methods of fine-tuning and learning rates, the most promising first. Flags leave out " +
      "what they decide, such as --mode lora or --model gpt2.",
  };
}

function checkSpec(spec: unknown, file: string): Pick<SweepSpec, "base" | "arms"> {
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
function parseShard(flag: string | undefined): { i: number; n: number } {
  if (flag === undefined) return { i: 1, n: 1 };
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

/** Throws ConfigError for what --minutes does not go with. */
function checkMinutes({ minutes, shard, collect }: SweepFlags): void {
  if (minutes === undefined) return;
  // A timer has 24 days.
  checkNumber("--minutes", minutes, { min: 0, above: true, max: 30_000 });
  const [other] = [shard && "--shard", collect && "--collect"].filter(Boolean);
  if (other)
    throw new ConfigError("options-conflict", `--minutes and ${other} are mutually exclusive`, {
      hint: "what goes on is decided by all trials together, on one machine",
    });
}

await main(async () => {
  const started = performance.now();
  program.parse();
  takeFile(program);
  const given = parseFlags<SweepFlags>(program, SHARED);
  checkMinutes(given);
  const flags = { ...given, ...(await neededSettings(given, (asked) => mergePreset(asked, PRESETS.quickstart))) };
  const { minutes } = flags;
  const shard = parseShard(flags.shard);
  const { base, arms, about } = await sweepSpec(flags);
  // Flags take precedence over the sweep's base, and that over the bundled model and the quickstart's data.
  const settings = pickSettings(mergePreset(flags, mergePreset(base, { ...PRESETS.quickstart, model: BUNDLED_GPT2 })));
  if (!flags.plan) await refuseForeign(flags.out);
  const study = await openStudy({
    base: settings,
    arms,
    seeds: flags.seeds,
    halves: minutes !== undefined,
    about,
  });
  const { candidates, costOf } = study;
  // Of those that are chosen from a plan lists what a run to the end takes.
  const cells =
    flags.plan && candidates
      ? candidateCells(candidates.map(({ rungs }) => ({ rungs: rungs.slice(-1) })))
      : study.cells;
  const { out, json = false } = flags;
  for (const folder of flags.collect ?? []) refuseOther(folder, await readStudy(folder), study.record);
  const say = json ? printNote : print;
  const all = runnableTrials(cells, () => 0);
  const parts = shard.n > 1 ? divide(cells, shard.n, costOf) : undefined;
  const isMine = ({ key }: Trial) => parts === undefined || parts.get(key) === shard.i;
  if (!flags.collect && !all.some(isMine)) {
    say(`part ${shard.i}/${shard.n} has no trials: the sweep has ${all.length}`);
    return 0;
  }
  if (flags.plan) return planStudy({ ...study, cells }, flags, isMine);
  const device = await openBackend(flags.device, { threads: flags.threads });
  /** Before the trials: takes what other shards have finished. */
  const onBegun = async () => {
    if (!flags.collect) return;
    const collected = await collect(out, flags.collect);
    say(`${collected} ${collected === 1 ? "trial" : "trials"} collected`);
    for (const line of listMissing(await readFinishedCells(out, cells, study.read))) say(line);
  };
  const resumption = "the same command resumes the sweep";
  const budget =
    minutes === undefined ? {} : { secondsLeft: () => 60 * minutes - (performance.now() - started) / 1000 };
  return runStudy(study, { out, device, json, isMine, onBegun, resumption, ...budget }).finally(() => device.destroy());
}, "files");

/** The trials that are not there, a line each. */
function listMissing(cells: readonly FinishedCell[]): string[] {
  const known = runnableTrials(cells, ({ chosen }) => chosen);
  const missing = without(
    known,
    finishedTrials(cells).map(({ trial }) => trial),
  );
  return missing.length === 0 ? [] : [`${countOf(missing, "trial")} missing:`, ...missing.map(titleTrials(cells))];
}
