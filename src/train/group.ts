/**
 * Several runs at once: adapters that share the base model and the batch, each as if it were trained alone, to the bit. Runs that cannot
 * share a step are trained one after the other.
 */
import type { Backend } from "../backend/backend.ts";
import { FrozenPrefix } from "../engine/frozen-prefix.ts";
import { Group, type GroupMember, type GroupOptions } from "../engine/group.ts";
import { initialize, loadBase } from "../engine/state.ts";
import { LowrankError } from "../errors.ts";
import { frozenBlocks } from "../model/trainable.ts";
import { MAX_MEMBERS } from "../ops/shares.ts";
import { fits } from "../plan/memory.ts";
import { prepareOnDevice } from "./device.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import type { TrainResult } from "./records.ts";
import { type COMMON_ARGUMENTS, type FineTuneArguments, Run, train } from "./trainer.ts";

/** What the runs of a group have in common. */
export type CommonArguments = Pick<FineTuneArguments, keyof typeof COMMON_ARGUMENTS>;

/** What each has of its own: its settings, and who is told of it. */
export type OwnArguments = Omit<FineTuneArguments, keyof CommonArguments>;

/** A run, and what it is prepared from. */
interface Candidate {
  index: number;
  prepared: PreparedRun;
}

const memberOf = ({ spec, optimizer, capacity }: PreparedRun): GroupMember => ({ spec, optimizer, capacity });

function groupOptions(some: readonly PreparedRun[]): GroupOptions {
  const [{ plan, prefix }] = some as [PreparedRun];
  return {
    members: some.map(memberOf),
    recompute: plan.recomputed > 0,
    ...(prefix ? { part: "suffix" as const } : {}),
  };
}

/** Runs with the same key can share a plan; null: it shares none. */
function keyOf({ spec, size, prefix }: PreparedRun, { adapter, resume }: OwnArguments): string | null {
  // An adapter to continue from may have a rank for each matrix.
  if (spec.mode !== "lora" || adapter) return null;
  // A resumed run goes on where it began, a new one where it is faster.
  return JSON.stringify([size.dtype, size.recompute, prefix ? frozenBlocks(spec) : null, resume?.device]);
}

/**
 * Divides runs into groups that can be trained at once, in the order of their first runs: as many as the device has room for. The other
 * runs are groups of one.
 */
export function divideRuns(common: CommonArguments, runs: readonly OwnArguments[]): number[][] {
  const groups: number[][] = [];
  const byKey = new Map<string, Candidate[]>();
  for (const [index, run] of runs.entries()) {
    const prepared = ifPrepared(common, run);
    const key = prepared && keyOf(prepared, run);
    if (!prepared || key === null) groups.push([index]);
    else byKey.set(key, [...(byKey.get(key) ?? []), { index, prepared }]);
  }
  for (const all of byKey.values())
    for (let rest = all; rest.length > 0; ) {
      const count = mostThatFit(common.device, rest);
      groups.push(rest.slice(0, count).map(({ index }) => index));
      rest = rest.slice(count);
    }
  return groups.sort((a, b) => a[0]! - b[0]!);
}

/** Null if a run cannot be prepared: what is wrong is said when it is trained. */
function ifPrepared(common: CommonArguments, run: OwnArguments): PreparedRun | null {
  try {
    return prepareRun({ ...runArguments(common), ...settingsOf(run) });
  } catch (error) {
    if (error instanceof LowrankError) return null;
    throw error;
  }
}

function runArguments({ signal: _, ...common }: CommonArguments) {
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
      const members = some.slice(0, count).map(({ prepared }) => prepared);
      return fits(Group.plan(device, groupOptions(members)).memory, device.limits);
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
  const { members } = await Group.create(device, groupOptions(prepared));
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
    try {
      run.onEvent?.({ type: "plan", plan, device: info, trainable, flops, prefix: planned });
      const training = new Run(member, prefix, { ...common, ...run }, prepared[i]!, info.kind);
      if (resume) training.restore(resume);
      return await training.train({ options, spec, plan, prefix: planned, device: info, trainable, flops });
    } finally {
      member.destroy();
    }
  });
}

/**
 * Trains runs, at once those that can share a plan; the others one after the other. Each is settled by itself, in the order of `runs`: one
 * that fails leaves the others as they are.
 */
export async function trainMany(
  common: CommonArguments,
  runs: readonly OwnArguments[],
): Promise<PromiseSettledResult<TrainResult>[]> {
  const settled = new Array<PromiseSettledResult<TrainResult>>(runs.length);
  for (const group of divideRuns(common, runs)) {
    const some = group.map((i) => runs[i]!);
    const promises =
      some.length === 1
        ? [train({ ...common, ...some[0]! })]
        : await trainGroup(common, some).catch((error) => some.map(() => Promise.reject(error)));
    for (const [i, one] of (await Promise.allSettled(promises)).entries()) settled[group[i]!] = one;
  }
  return settled;
}
