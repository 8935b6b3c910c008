/** train --mode classic: fits TF-IDF with a linear model, which needs neither a base model nor a device. */
import type { Command } from "commander";
import { ConfigError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { DatasetOptions, DatasetSpec } from "../data/dataset-options.ts";
import { loadDataset } from "../data/datasets.ts";
import { writeFolder } from "../io/marker.ts";
import type { Mode } from "../methods/index.ts";
import { newRecord, type RunRecord } from "../record/record.ts";
import { classicContents, RUN, refuseExisting } from "../run/directory.ts";
import { dataOptions, dataSpec, mergePreset, PRESETS, pickSettings } from "../run/settings.ts";
import { DEFAULT_OBJECTIVE, TASKS } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { trainClassic } from "../train/linear.ts";
import { DEFAULTS, objectiveDefaults } from "../train/options.ts";
import { type RunSettings, SETTING_NAMES } from "../train/settings.ts";
import { settle } from "./cli.ts";
import { defaultOut, type TrainFlags } from "./job.ts";
import { RunPrinter } from "./run-printer.ts";
import { DOWNLOADS } from "./run-study.ts";

/** Tokens to which texts are cut where a model reads them; here they are read whole. */
const CONTEXT = 1024;

/** Flags that a run on a base model has. A device is not one: it is simply not needed. */
const OF_MODELS = ["model", "adapter", "plan", "seeds", "folds", "final", "checkpointEvery", ...SETTING_NAMES].filter(
  (name) => !["mode", "seed"].includes(name),
);

export async function runClassic(program: Command, flags: TrainFlags, mode: Mode): Promise<number> {
  refuseFlags(program, flags, mode);
  const { model: _, ...settings } = pickSettings(mergePreset(flags, PRESETS[flags.preset]));
  const { objective = DEFAULT_OBJECTIVE, seed = DEFAULTS.seed } = settings;
  const out = flags.out ?? defaultOut();
  await settle(out);
  const replaces = await refuseExisting(out, flags.force ?? false);
  const source = { ...dataSpec(settings), ...dataOptions(settings, seed, CONTEXT) };
  const data = await loadDataset(source as DatasetSpec, { ...(source as DatasetOptions), ...DOWNLOADS });
  const options = { ...objectiveDefaults(objective), mode, epochs: 1, seed };
  const printer = new RunPrinter(flags.json ?? false, data);
  const begun = await newRecord({ model: null, data }, settings, options);
  printer.begin(begun);
  const result = await trainClassic(data, options);
  const { results, evaluations, seconds, classic } = result;
  const size = classic.parts.weights.length;
  const record: RunRecord = {
    ...begun,
    state: "finished",
    results,
    evaluations,
    seconds,
    trainable: size,
    parameters: size,
    step: 1,
    steps: 1,
    stepsPerEpoch: 1,
    keptStep: 1,
    epoch: 1,
    examples: data.train.size,
  };
  // Loaded when it is needed: --help does without.
  const contents = await classicContents(record, result, data);
  await writeFolder(out, contents.files, RUN, replaces);
  printer.result(contents.record);
  printer.saved(out, contents.record);
  return 0;
}

/** Throws ConfigError for what only a run on a base model has, and for what has no label for a whole text. */
function refuseFlags(program: Command, flags: TrainFlags, mode: Mode): void {
  const { objective = DEFAULT_OBJECTIVE }: RunSettings = flags;
  if (!TRAINING[objective].labels.fit)
    throw new ConfigError("unsupported-mode", `${setting("mode", mode)} is for labels and scores of whole texts`, {
      expected: "classes, several labels or scores",
      found: TASKS[objective].title,
      hint: "choose another --mode",
    });
  const onCommandLine = program.options
    .map((option) => option.attributeName())
    .filter((name) => program.getOptionValueSource(name) === "cli");
  const given = [...Object.keys(pickSettings(flags)), ...onCommandLine].find((name) => OF_MODELS.includes(name));
  if (given !== undefined)
    throw new ConfigError("option-without-effect", `${setting(given)} has no effect in ${setting("mode", mode)}`, {
      expected: "flags of the data, --seed, --out, --force and --json",
      hint: `omit ${setting(given)}: there is no base model, and the validation set chooses the strength of the penalty`,
    });
}
