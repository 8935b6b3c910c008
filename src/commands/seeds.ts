/** train --seeds: runs that differ only in their seed, trained as the trials of a sweep. The best of them is kept. */
import type { Backend } from "../backend/backend.ts";
import { copyRun } from "../run/directory.ts";
import type { RunRecord, SeedResult, Seeds } from "../run/record.ts";
import { bestSeed, gatherSeeds, seedResult } from "../run/seeds.ts";
import type { Trial } from "../study/grid.ts";
import type { SweepEvent } from "../study/runner.ts";
import { begunTrials, readFinished, removeTrials, type TrialRecord, trialDirectory } from "../study/store.ts";
import { prepareRun } from "../train/prepare.ts";
import { RunFailed } from "../train/records.ts";
import { tableToCsv } from "../views/csv.ts";
import { planBlocks } from "../views/plan.ts";
import { seedBlocks, seedsTable } from "../views/seeds.ts";
import { calledAs, shellWord } from "./called.ts";
import { Interruption, printNote } from "./cli.ts";
import type { RunJob, TrainFlags } from "./job.ts";
import { printBlocks, RunPrinter } from "./run-printer.ts";
import { TrialPrinter } from "./trial-printer.ts";

/** Trains the seeds that are left and saves the best of all. Returns the exit code. */
export async function trainSeeds(job: RunJob, flags: TrainFlags, device: Backend): Promise<number> {
  const { kept: folder, data, model, record } = job;
  const { json = false } = flags;
  const { runFiles: views } = await import("../views/run-files.ts");
  const { runTrials } = await import("../study/runner.ts");
  const trials = seedTrials(job);
  const printer = new RunPrinter(json, data);
  const progress = new TrialPrinter(data.objective, "run", seedTitle);
  let isPlanned = false;
  /** As the printer of trials does, with the plan of the first run; or as JSON, in which each event has its seed. */
  const show = (event: SweepEvent) => {
    if (json) return console.log(JSON.stringify(jsonEvent(event)));
    if (event.type === "plan" && !isPlanned) printBlocks(planBlocks(event.plan));
    isPlanned ||= event.type === "plan";
    progress.event(event);
  };
  const interruption = new Interruption("stopping after a checkpoint; interrupt again to stop immediately");
  const { signal } = interruption;
  const diverged = new Map<number, string>();
  const onEvent = (event: SweepEvent) => {
    if (event.type === "step" && !signal.aborted) interruption.begin();
    if (event.type === "failed" && event.error instanceof RunFailed)
      diverged.set(event.trial.options.seed, event.error.message.split("\n")[0]!);
    show(event);
  };
  try {
    // What is wrong with all of them is reported once, before anything is stored.
    prepareRun({ device, model, data, ...record.options });
    printer.begin(record);
    const newRecord = ({ options }: Trial) => ({ ...record, options });
    const { checkpointEvery } = flags;
    const every = checkpointEvery === undefined ? {} : { checkpointEvery };
    await runTrials({ out: folder, trials, device, data, signal, views, onEvent, newRecord, ...every });
  } finally {
    interruption.end();
    progress.stop();
  }
  const finished = await Promise.all(trials.map((trial) => readFinished(folder, trial)));
  const runs = trials.map(({ options: { seed } }, i): SeedResult => {
    const error = diverged.get(seed);
    return finished[i] ? seedResult(finished[i]) : error === undefined ? { seed } : { seed, error };
  });
  const seeds = gatherSeeds(record.objective, runs);
  if (runs.some(({ test, error }) => test === undefined && error === undefined)) {
    if (!json) printBlocks(seedBlocks({ ...record, seeds }));
    if ((await begunTrials(folder)).length > 0)
      printNote(`resume the seeds:  ${calledAs("train")} --resume ${shellWord(folder)}`);
    return signal.aborted ? 130 : 1;
  }
  const best = bestSeed(runs);
  const kept = finished.find((one) => one?.options.seed === best?.seed);
  if (kept) await keep(job, kept, seeds, printer);
  await removeTrials(folder, trials);
  return diverged.size > 0 ? 1 : 0;
}

/** Copies the run of a seed into the run directory, with what all have reached, and prints it. */
async function keep(job: RunJob, kept: TrialRecord, seeds: Seeds, printer: RunPrinter): Promise<void> {
  const { trial, replaces: _, ...own } = kept;
  const record: RunRecord = { ...own, seeds };
  const source = trialDirectory(job.kept, trial);
  const table = ["seeds.csv", tableToCsv(seedsTable(record, seeds))] as const;
  const saved = await copyRun([source, job.out], record, [table], job.replaces);
  printer.result(saved);
  printer.saved(job.out, saved);
}

const seedTitle = ({ options: { seed } }: Trial) => `seed ${seed}`;

/** A trial for each seed. Its key is the inputs, which `resumedJob` has compared. */
function seedTrials({ model, record }: RunJob): Trial[] {
  const key = `${record.base} ${record.counts.sha256}`;
  return record.seeds!.runs.map(({ seed }) => {
    return { name: `seed-${seed}`, key, model: model.directory, options: { ...record.options, seed } };
  });
}

/** An event without its large parts. */
function jsonEvent(event: SweepEvent): object {
  if (event.type === "group") return event;
  if (event.type === "divided") return { type: "divided", count: event.count, error: event.error.message };
  const { type, trial } = event;
  const { seed } = trial.options;
  switch (type) {
    case "plan":
      return { type, seed, device: event.plan.device, trainable: event.plan.trainable };
    case "resumed":
      return { type, seed, step: event.step };
    case "step":
      return { type, seed, record: event.record, secondsLeft: event.together.secondsLeft };
    case "evaluation":
      return { type, seed, record: event.record };
    case "skip":
    case "done":
      return { type, ...seedResult(event.record) };
    case "failed":
      return { type, seed, error: event.error.message };
    default:
      return { type, seed };
  }
}
