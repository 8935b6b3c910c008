/**
 * Several runs at once: adapters that share the base model and the batch, each as if it were trained alone, to the bit. Runs that cannot
 * share a step are trained one after the other.
 */
import type { Backend } from "../backend/backend.ts";
import { FrozenPrefix } from "../engine/frozen-prefix.ts";
import { Group, type GroupOptions } from "../engine/group.ts";
import { initialize, loadBase } from "../engine/state.ts";
import { LowrankError } from "../errors.ts";
import { frozenBlocks } from "../model/trainable.ts";
import { MAX_MEMBERS } from "../ops/shares.ts";
import { fits } from "../plan/memory.ts";
import { SharedClock } from "./clock.ts";
import { prepareOnDevice } from "./device.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import { memoryOf, type PrefixPlan, type TrainResult } from "./records.ts";
import { type COMMON_ARGUMENTS, type FineTuneArguments, Run } from "./trainer.ts";

/** What the runs of a group have in common. */
export type CommonArguments = Pick<FineTuneArguments, keyof typeof COMMON_ARGUMENTS>;

/** Arguments that each run has of its own: settings, callbacks, a checkpoint to resume from. */
export type OwnArguments = Omit<FineTuneArguments, keyof CommonArguments>;

/** Runs that are trained at once. */
interface Division {
  /** Their indices. */
  runs: number[];
  /** What keeps them apart from the groups before; empty of the first one. */
  apart: string;
}

/** What is needed of a run to plan a group with it: not its own plan, as there may be many runs. */
interface Candidate extends GroupOptions {
  index: number;
  prefix: PrefixPlan | null;
}

function candidateOf({ spec, optimizer, capacity, plan, prefix }: PreparedRun, index: number): Candidate {
  return {
    index,
    prefix,
    members: [{ spec, optimizer, capacity }],
    recompute: plan.recomputed > 0,
    ...(prefix ? { part: "suffix" as const } : {}),
  };
}

/** The options of a group: what its runs have in common is the first one's. */
function groupOptions(some: readonly Candidate[]): GroupOptions {
  const { index: _, prefix: __, ...first } = some[0]!;
  return { ...first, members: some.flatMap(({ members }) => members) };
}

/** What all runs of a group have in common, in words: runs of which all of these are the same can share a plan. */
function commonOf({ spec, size, prefix, options: { accumulate } }: PreparedRun, { resume }: OwnArguments): string[] {
  return [
    // A resumed run goes on where it began, a new one where it is faster.
    resume?.device === undefined ? "not begun" : `begun on ${resume.device}`,
    `base model in ${size.dtype}`,
    size.recompute ? "with recomputation" : "without recomputation",
    prefix ? `only blocks from ${frozenBlocks(spec)} on run` : "all blocks run",
    accumulate > 1 ? `${accumulate} batches a step` : "one batch a step",
  ];
}

/**
 * Divides runs into groups that can be trained at once, in the order of their first runs: as many as the device has room for. The other
 * runs are groups of one.
 */
export function divideRuns(common: CommonArguments, runs: readonly OwnArguments[]): Division[] {
  const divisions: Division[] = [];
  const groups = new Map<string, { words: string[]; all: Candidate[] }>();
  for (const [index, run] of runs.entries()) {
    const alone = (apart: string) => divisions.push({ runs: [index], apart });
    try {
      const prepared = prepareRun({ ...runArguments(common), ...settingsOf(run) });
      const words = commonOf(prepared, run);
      const group = groups.get(words.join()) ?? { words, all: [] };
      if (prepared.spec.mode !== "lora") alone(`mode ${prepared.spec.mode}`);
      // It may have a rank for each matrix.
      else if (run.adapter) alone("continues from an adapter");
      else {
        group.all.push(candidateOf(prepared, index));
        groups.set(words.join(), group);
      }
    } catch (error) {
      // It is said again when it is trained.
      if (!(error instanceof LowrankError)) throw error;
      alone(error.message.split("\n")[0]!);
    }
  }
  const [first] = groups.values();
  for (const { words, all } of groups.values())
    for (let rest = all; rest.length > 0; ) {
      const count = mostThatFit(common.device, rest);
      const apart = rest === all ? words.filter((word) => !first!.words.includes(word)).join(", ") : "no room for more";
      divisions.push({ runs: rest.slice(0, count).map(({ index }) => index), apart });
      rest = rest.slice(count);
    }
  return divisions.sort((a, b) => a.runs[0]! - b.runs[0]!);
}

/** The peak memory of a group, in bytes. */
export function groupMemory(common: CommonArguments, runs: readonly OwnArguments[]): number {
  const some = runs.map((run, i) => candidateOf(prepareRun({ ...runArguments(common), ...settingsOf(run) }), i));
  return memoryOf({ plan: Group.plan(common.device, groupOptions(some)), prefix: some[0]!.prefix });
}

/** A run that can begin; null if something is wrong with it, which is said when it is trained. */
export function ifPrepared(common: CommonArguments, run: OwnArguments): PreparedRun | null {
  try {
    return prepareRun({ ...runArguments(common), ...settingsOf(run) });
  } catch (error) {
    if (error instanceof LowrankError) return null;
    throw error;
  }
}

/** What a run is prepared from, with its settings. */
export function runArguments({ signal: _, ...common }: CommonArguments) {
  return common;
}

/** The settings of a run, and the adapter that it continues from. */
export function settingsOf({
  onEvent: _,
  resume: _r,
  checkpointEvery: _c,
  onCheckpoint: _o,
  pause: _p,
  ...settings
}: OwnArguments) {
  return settings;
}

/** How many of the first runs fit into a plan together. */
function mostThatFit(device: Backend, some: readonly Candidate[]): number {
  const fit = (count: number) => {
    try {
      return fits(Group.plan(device, groupOptions(some.slice(0, count))).memory, device.limits);
    } catch (error) {
      if (error instanceof LowrankError && error.details.remedy === "less-memory") return false;
      throw error;
    }
  };
  let [least, most] = [1, Math.min(some.length, MAX_MEMBERS)];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fit(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

/**
 * Trains the runs of a group at once. Resolves when they have begun, with a promise for each: one that fails leaves the others as they are.
 * Those that resume must have begun on the same kind of device. Rejects if nothing can be trained.
 */
export async function trainGroup(
  common: CommonArguments,
  runs: readonly OwnArguments[],
): Promise<Promise<TrainResult>[]> {
  const { model, data, signal } = common;
  const began = runs.find(({ resume }) => resume?.device)?.resume?.device;
  const run = { ...runArguments(common), ...settingsOf(runs[0]!) };
  const { device, info, prepared: first } = await prepareOnDevice(run, { signal, began });
  const prepared = runs.map((run) => prepareRun({ ...runArguments(common), device, ...settingsOf(run) }));
  const prefix = first.prefix ? await FrozenPrefix.make(device, model, data, first, signal) : undefined;
  const { members } = await Group.create(device, groupOptions(prepared.map(candidateOf)));
  const clock = new SharedClock();
  try {
    await loadBase(members[0]!, model, { signal });
    for (const [i, member] of members.entries()) await initialize(member, prepared[i]!.options.seed, model);
  } catch (error) {
    for (const member of members) member.destroy();
    throw error;
  }
  return members.map(async (member, i) => {
    const { options, spec, plan, trainable, flops, prefix: planned } = prepared[i]!;
    const { resume, ...run } = runs[i]!;
    clock.enter();
    try {
      run.onEvent?.({ type: "plan", plan, device: info, trainable, flops, prefix: planned });
      const training = new Run(member, prefix, { ...common, ...run }, prepared[i]!, info.kind, () => clock.now());
      if (resume) training.restore(resume);
      return await training.train({ options, spec, plan, prefix: planned, device: info, trainable, flops });
    } finally {
      clock.leave();
      member.destroy();
    }
  });
}
