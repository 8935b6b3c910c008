/**
 * Several runs in one plan: adapters that share the base model and the batch, each as if it were trained alone, to the
 * bit.
 */
import type { Backend } from "../backend/backend.ts";
import type { Engine } from "../engine/engine.ts";
import { Features } from "../engine/features.ts";
import { Group, type GroupOptions } from "../engine/group.ts";
import { leave } from "../engine/leave.ts";
import { loadBase } from "../engine/state.ts";
import { ConfigError, LowrankError } from "../errors.ts";
import { frozenBlocks } from "../model/trainable.ts";
import { MAX_MEMBERS } from "../ops/shares.ts";
import { fits } from "../plan/memory.ts";
import { isMean } from "../tasks/index.ts";
import type { BegunJob, PlannedJob, SharedArguments, TrainArguments } from "./arguments.ts";
import { SharedClock } from "./clock.ts";
import { prepareOnDevice } from "./device.ts";
import { planEvent, runMemory } from "./plan-event.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import type { FeaturePlan, TrainResult } from "./records.ts";
import { isTooLarge } from "./sizes.ts";
import { writeInitial } from "./start.ts";
import { survive, train } from "./trainer.ts";
import { Run } from "./training-run.ts";

export interface Round<J> {
  jobs: readonly J[];
  /** How many of them are trained at the same time. */
  atOnce: number;
}

/** A run in a plan of several: not its own plan, as there may be many runs. */
interface Candidate {
  options: GroupOptions;
  features: FeaturePlan | null;
}

function candidate({ spec, optimizer, capacity, valueLoss, plan, features }: PreparedRun): Candidate {
  const part = features ? { part: "upper" as const } : {};
  const members = [{ spec, optimizer, capacity }];
  return { options: { members, valueLoss, recompute: plan.recomputed > 0, ...part }, features };
}

/** The options of a group: what its runs have in common is the first one's. */
function groupOptions(some: readonly Candidate[]): GroupOptions {
  return { ...some[0]!.options, members: some.flatMap(({ options }) => options.members) };
}

/** What all runs of a group have in common: runs of which all of it is the same can share a plan. */
function commonKey({ spec, size, features, options: { accumulate } }: PreparedRun): string {
  return JSON.stringify([size.dtype, size.recompute, features && frozenBlocks(spec), accumulate, isMean(spec.task)]);
}

/**
 * Divides jobs into rounds of those that can share a plan, in the order of their first jobs: as many as the device has
 * room for. The others are rounds of one.
 */
export function divideIntoPlans<J extends PlannedJob>(common: SharedArguments, jobs: readonly J[]): Round<J>[] {
  const rounds: Round<J>[] = [];
  const groups = new Map<string, (Candidate & { job: J })[]>();
  for (const job of jobs) {
    try {
      const prepared = prepareRun({ ...common, ...job.settings });
      if (prepared.spec.lora !== null && canShare(common.device, candidate(prepared))) {
        const key = commonKey(prepared);
        groups.set(key, [...(groups.get(key) ?? []), { job, ...candidate(prepared) }]);
        continue;
      }
    } catch (error) {
      // Training it reports the error again.
      if (!(error instanceof LowrankError)) throw error;
    }
    rounds.push({ jobs: [job], atOnce: 1 });
  }
  for (const all of groups.values())
    for (let rest = all; rest.length > 0; ) {
      const some = rest.slice(0, mostThatFit(common.device, rest));
      rounds.push({ jobs: some.map(({ job }) => job), atOnce: some.length });
      rest = rest.slice(some.length);
    }
  const place = ({ jobs: [job] }: Round<J>) => jobs.indexOf(job!);
  return rounds.sort((a, b) => place(a) - place(b));
}

/** Whether a run can share a plan with one like it. */
function canShare(device: Backend, one: Candidate): boolean {
  try {
    Group.plan(device, groupOptions([one, one]));
  } catch (error) {
    if (error instanceof ConfigError && error.code === "cannot-share-plan") return false;
    if (!isTooLarge(error)) throw error;
  }
  return true;
}

/** How many of the first runs fit into a plan together. */
function mostThatFit(device: Backend, some: readonly Candidate[]): number {
  const fit = (count: number) => {
    try {
      const plan = Group.plan(device, groupOptions(some.slice(0, count)));
      return fits(runMemory({ plan, features: some[0]!.features }), device.limits);
    } catch (error) {
      if (isTooLarge(error)) return false;
      throw error;
    }
  };
  let [least, most] = [1, Math.min(some.length, MAX_MEMBERS)];
  // Mostly all fit.
  if (fit(most)) return most;
  for (most--; least < most; ) {
    const middle = Math.ceil((least + most) / 2);
    if (fit(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

/**
 * Trains the runs of a group together. Resolves when they have begun, with a promise for each: a failed run does not
 * affect the others. Resumed runs must have begun on the same kind of device. Rejects if none can be trained.
 */
export async function trainGroup(
  common: SharedArguments,
  runs: readonly BegunJob[],
  signal: AbortSignal,
): Promise<Promise<TrainResult>[]> {
  const { model, data } = common;
  const [{ settings, start }] = runs as [BegunJob];
  const prepareAll = (device: Backend) => runs.map(({ settings }) => prepareRun({ ...common, ...settings, device }));
  const others = prepareAll(common.device).slice(1);
  const chosen = await prepareOnDevice({ ...common, ...settings }, { signal, began: start.resume?.device, others });
  const { device, info, prepared: first } = chosen;
  const prepared = device === common.device ? [first, ...others] : prepareAll(device);
  let features: Features | undefined;
  let engines: readonly Engine[] = [];
  try {
    if (first.features) {
      // There is room for the rows of each run.
      const capacity = { ...first.capacity, tokens: Math.max(...prepared.map(({ capacity }) => capacity.tokens)) };
      features = await Features.load(device, model, { ...first, capacity }, signal);
    }
    ({ engines } = await Group.create(device, groupOptions(prepared.map(candidate))));
    await loadBase(engines[0]!, model, { signal });
    for (const [i, engine] of engines.entries())
      await writeInitial(engine, { model, data, ...runs[i]!.settings }, prepared[i]!.options);
  } catch (error) {
    for (const engine of engines) engine.destroy();
    features?.destroy();
    // Fewer of them may fit.
    if (isTooLarge(error) || device !== common.device) throw error;
    await leave(device, error);
    return trainGroup(common, runs, signal);
  }
  const clock = new SharedClock();
  // After a device has failed they are trained one after the other.
  let turn: Promise<unknown> = Promise.resolve();
  const trainAlone = (args: TrainArguments) => {
    const result = turn.then(() => train(args));
    turn = result.catch(() => {});
    return result;
  };
  const results = engines.map((engine, i) => {
    const { options, spec, plan, trainable, flops, features: planned } = prepared[i]!;
    const { settings, start } = runs[i]!;
    const trainTogether = (args: TrainArguments) =>
      clock.share(async (now) => {
        start.onEvent?.(planEvent(prepared[i]!, info));
        const training = new Run(engine, features, args, prepared[i]!, info.kind, now);
        if (start.resume) training.restore(start.resume);
        return training.train({ options, spec, plan, features: planned, device: info, trainable, flops });
      });
    const trainHere = (args: TrainArguments) => trainTogether(args).finally(() => engine.destroy());
    return survive(
      { device, prepared: prepared[i]! },
      { ...common, signal, ...settings, ...start },
      trainHere,
      trainAlone,
    );
  });
  void Promise.allSettled(results).then(() => features?.destroy());
  return results;
}
