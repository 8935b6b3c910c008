/** train: fine-tunes GPT-2 as a text classifier or as a language model and writes a run directory. */

import { joinPath } from "#platform";
import type { Backend } from "../backend/backend.ts";
import { checkNumber } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { METHODS } from "../methods/index.ts";
import { buildAdapter, removeRun } from "../run/directory.ts";
import { LiveRun } from "../run/live-run.ts";
import { addSamples } from "../run/samples.ts";
import { PRESETS } from "../run/settings.ts";
import { findStudy, refuseForeign } from "../study/study-record.ts";
import { RunFailed } from "../train/records.ts";
import { train } from "../train/trainer.ts";
import { measureMemory, memoryBlocks } from "../views/plan.ts";
import { terminalMessage } from "../views/terminal/flag-words.ts";
import { calledAs, shellWord } from "./called.ts";
import { runClassic } from "./classic.ts";
import { choice, command, deviceFlag, Interruption, main, number, printNote, suggestFlag, threadsFlag } from "./cli.ts";
import { addSettings, groupFlags, parseFlags, takeFile } from "./flags.ts";
import {
  defaultOut,
  newFolds,
  newJob,
  newSeeds,
  openJobDevice,
  plannedJob,
  type RunJob,
  resumedJob,
  resumedStudy,
  type TrainFlags,
  usualRun,
} from "./job.ts";
import { planStudy } from "./plan-study.ts";
import { type OpenedFolds, reopenFolds, runFolds } from "./run-folds.ts";
import { printBlocks, RunPrinter } from "./run-printer.ts";
import { openStudy, runStudy, type StudyOptions, type StudyRequest } from "./run-study.ts";

const program = command(
  "train",
  "Fine-tunes a model on your rows: GPT-2, a Llama-type model, GPT-NeoX or BERT, with LoRA, in full, or in other ways; " +
    "on a BERT own rows begin with a linear probe, in seconds.\n" +
    "Without flags, fits a probe on the bundled e5-small-cut to 100 of the bundled mails and short messages to distinguish spam from ham, in about a minute.",
  [
    "",
    "messages.csv --text-column body --label-column queue",
    "messages.csv --mode lora --rank 16 --out runs/r16",
    "messages.csv --folds 5",
    "reviews.csv --objective regression --label-column stars",
    "questions.jsonl --objective lm --model gpt2",
  ],
);
addSettings(program)
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option(
    "--seeds <k>",
    "train k runs on the same split; with consecutive seeds from --seed on, several at once: the output directory has a report, with their mean and spread and the best run, and the runs in trials/",
    number,
    1,
  )
  .option(
    "--folds <k>",
    "train k runs, each tested on other rows; the output directory has a report with an estimate from all rows, out-of-fold.csv with the answer to each of them, review.csv with labels that are probably wrong, and in trials/ a run that has learned from all rows, which is the one to use",
    number,
  )
  .addOption(
    choice(
      "--final <rows>",
      "with --folds: what the run to use learns from; none: there is no such run (default: all)",
      ["all", "none"],
    ),
  )
  .option("--out <dir>", "run directory, of which report.html is the page (default: runs/<date and time>)")
  .option("--force", "replace an existing run directory")
  .option(
    "--checkpoint-every <n>",
    "save a checkpoint every n steps, from which a killed run is resumed (an interrupted one has one always); the last two are stored",
    number,
  )
  .option(
    "--resume <dir>",
    "resume an interrupted or killed run, or a study, with its settings; from its last checkpoint if it has one; the result is that of an uninterrupted run, bit for bit",
  )
  .addOption(
    choice("--preset <name>", "base settings, which other flags override", Object.keys(PRESETS)).default("quickstart"),
  )
  .option(
    "--plan",
    "print what the run takes in memory, and exit; with every type of weights, with recomputation and other batch sizes; no weights are read. With --seeds: what each run takes in memory and time",
  )
  .option("--json", "print only events on stdout, as JSON, one per line")
  .argument("[file]", "as --data FILE")
  .allowExcessArguments(false);
suggestFlag(program, "--output_dir", "--out");
groupFlags(suggestFlag(program, "--file", "--data"), [
  ...["data", "dataset", "textColumn", "labelColumn", "groupColumn", "corrections", "labelSeparator", "sheet"],
  ...["skipFaulty", "model", "objective", "mode", "epochs", "set", "device"],
  ...["seeds", "folds", "out", "force", "resume", "plan", "json"],
]);

/** Trains and saves the run. Returns the exit code. */
async function run(job: RunJob, flags: TrainFlags, device: Backend): Promise<number> {
  const { out, directory, isNew, model, data, record, adapter, resume } = job;
  // Before the training, so that a run does not depend on files that change meanwhile; --help does not need it.
  const printer = new RunPrinter(flags.json ?? false, data);
  const interruption = new Interruption("stopping to save the run; interrupt again to stop without saving");
  const { signal } = interruption;
  const resumption = `resume it:  ${calledAs("train")} --resume ${shellWord(directory)}`;
  const live = new LiveRun(directory, record, {
    onEvent: (event) => {
      if (event.type === "step") interruption.begin();
      printer.event(event, live.speed);
    },
    onUnsaved: ({ step }, error) =>
      printNote(`the checkpoint of step ${step} could not be saved: ${terminalMessage(error)}`),
  });
  if (isNew) await live.begin();
  let isTrained = false;
  try {
    printer.begin(record);
    if (resume) printNote(`resumed at step ${resume.step}`);
    const given = { device, model, data, ...record.options, ...(adapter && { adapter }) };
    // Without --checkpoint-every a checkpoint is saved only if the run is interrupted.
    const checkpointEvery = flags.checkpointEvery ?? 0;
    const result = await train(given, { signal, ...live.callbacks, ...(resume && { resume }), checkpointEvery });
    isTrained = true;
    const learned = buildAdapter(live.record, result.spec, result);
    await addSamples(live.record.results, { device, model, data, adapter, learned, signal });
    // An existing run is replaced only by a finished one.
    const place = result.aborted ? directory : out;
    if (!result.aborted) delete live.record.replaces;
    // Saved before anything is printed: printing may fail.
    const saving = place === directory ? live.end(result, data) : live.save(place, result, data, job.replaces);
    await saving.finally(() => {
      interruption.end();
      printer.result(live.record);
    });
    printer.saved(place, live.record);
    if (result.aborted) printNote(resumption);
    else if (place !== directory) await removeRun(directory);
    return signal.aborted ? 130 : 0;
  } catch (error) {
    printer.stop();
    if (error instanceof RunFailed) {
      await live.endFailed(error);
      printNote(`the last good parameters are saved in ${joinPath(directory, "adapter")}`);
    } else if (isTrained || live.isResumable || !isNew) printNote(resumption);
    else await live.leave();
    throw error;
  } finally {
    interruption.end();
  }
}

/** What a study's runs have besides their settings. */
async function studyOptions(out: string, flags: TrainFlags): Promise<StudyOptions> {
  const { json, checkpointEvery } = flags;
  const resumption = `resume it:  ${calledAs("train")} --resume ${shellWord(out)}`;
  return { out, device: await openJobDevice(flags), json, resumption, checkpointEvery };
}

/** Trains the folds that are left. */
async function divided(out: string, opened: OpenedFolds, flags: TrainFlags): Promise<number> {
  const options = await studyOptions(out, flags);
  return runFolds(opened, options).finally(() => options.device.destroy());
}

/** Trains the seeds that are left, or what is left of another study. */
async function study(out: string, request: StudyRequest, flags: TrainFlags): Promise<number> {
  if (request.folds) return divided(out, await reopenFolds(request, request.folds), flags);
  const opened = await openStudy(request);
  if (flags.plan) return planStudy(opened, flags);
  const options = await studyOptions(out, flags);
  return runStudy(opened, options).finally(() => options.device.destroy());
}

/** Prints what a run would take in memory. */
async function plan(flags: TrainFlags): Promise<number> {
  const { model, data, options, adapter } = await plannedJob(flags);
  const device = await openJobDevice(flags);
  try {
    const args = { device, model, data, ...(adapter ? { adapter } : {}) };
    const sizes = measureMemory(args, options);
    if (flags.json) console.log(JSON.stringify({ type: "memory", device: device.info, ...sizes }));
    else printBlocks(memoryBlocks(sizes, args, options));
    return 0;
  } finally {
    device.destroy();
    await model.close();
  }
}

await main(async () => {
  program.parse();
  takeFile(program);
  const flags = parseFlags<TrainFlags>(program);
  const { checkpointEvery = 0, seeds, folds, resume } = flags;
  checkNumber("--checkpoint-every", checkpointEvery, { min: 0, whole: true });
  checkNumber("--seeds", seeds, { min: 1, whole: true });
  if (folds === undefined && flags.final !== undefined)
    throw new ConfigError("option-without-effect", "--final has an effect on folds alone", {
      expected: "--folds 5",
      found: `--final ${flags.final}`,
    });
  if (folds !== undefined) checkNumber("--folds", folds, { min: 2, whole: true });
  const begun = resume === undefined ? undefined : await findStudy(resume);
  if (begun !== undefined) {
    // What can be refused without the data and the models is refused before them.
    await refuseForeign(begun);
    return study(begun, await resumedStudy(begun, program), flags);
  }
  if (flags.mode && METHODS[flags.mode]?.withoutModel && resume === undefined) {
    return runClassic(program, flags, flags.mode);
  }
  const out = flags.out ?? defaultOut();
  if (resume === undefined && seeds > 1) {
    await refuseForeign(out);
    return study(out, await newSeeds(flags), flags);
  }
  if (resume === undefined && folds !== undefined) {
    await refuseForeign(out);
    return divided(out, await newFolds(flags, folds), flags);
  }
  if (flags.plan && resume === undefined) return plan(flags);
  const usual = resume === undefined ? await usualRun(flags, out) : null;
  if (usual?.folds) return divided(out, usual.folds, flags);
  const job = usual ? await newJob({ ...flags, ...usual.needed, out }) : await resumedJob(resume!, program);
  // Before the run, which makes folders.
  const device = await openJobDevice(flags, job.resume?.device);
  return run(job, flags, device).finally(() => {
    device.destroy();
    return job.model.close();
  });
}, "files");
