/** Begins runs, those of a comparison one after the other or together, and ends them. */

import type { DeviceName } from "../../../backend/device.ts";
import { ConfigError } from "../../../core/errors.ts";
import type { Mode } from "../../../methods/index.ts";
import { comparedRuns, describeMethod } from "../../../methods/training.ts";
import { possibleModes } from "../../../model/trainable.ts";
import { DEFAULT_OBJECTIVE } from "../../../tasks/index.ts";
import { type Known, knownBase, ofMode, pickRate } from "../../../train/options.ts";
import type { Speed } from "../../../train/records.ts";
import { findCompanions, nextRun, type PageRun, type PageSettings, SEEDS } from "../../protocol.ts";
import { emit } from "../emit.ts";
import { reportError } from "../errors.ts";
import { keepFiles } from "../files/run-files.ts";
import { changeRun, keepRun, listRuns, newId, readRun, whileOnlyTrainer } from "../files/store.ts";
import { giveUp } from "../models.ts";
import { TrainingGroup } from "./group.ts";
import { machine } from "./machine.ts";
import { fetchModel, openSettings, reopen } from "./materials.ts";
import { newRun, type OpenedRun } from "./training.ts";

/**
 * A run that can begin; `from`: the run whose adapter it starts from; `isEnough`: it is measured as it is, without
 * another step.
 */
interface Opened {
  run: PageRun;
  materials: OpenedRun;
  from?: string | undefined;
  isEnough?: boolean;
}

/** Begins a new run. Progress is reported by events. Resolves with its id when it has begun. */
export function start(settings: PageSettings): Promise<string> {
  return begin(async () => {
    const { adapter: from } = settings;
    const { options, ...materials } = await openSettings(settings);
    // The other run may be deleted.
    const named =
      from === undefined ? settings : { ...settings, adapter: describeMethod((await readRun(from)).record.options) };
    return { run: await newRun(named, materials, options), materials, from };
  });
}

export function resume(id: string, device?: DeviceName, isEnough = false): Promise<string> {
  return begin(async () => {
    const run = await readRun(id);
    if (device) run.device = device;
    return { run, materials: await reopen(run), isEnough };
  });
}

/** Stores the runs of a comparison of methods, and begins the first. */
export function compare(settings: PageSettings): Promise<string> {
  return begin(async () => {
    const { config } = await fetchModel(settings.model);
    const { objective = DEFAULT_OBJECTIVE } = settings;
    const methods = methodSettings(settings, possibleModes(config, { objective }), knownBase({ config }));
    const opened: Opened[] = [];
    for (const method of methods) {
      const { options, ...materials } = await openSettings(method);
      opened.push({ run: await newRun(method, materials, options), materials });
    }
    await keepTogether(newId(), opened);
    emit({ type: "runs" });
    return opened[0]!;
  });
}

/** Trains a finished run's settings with further seeds, on its data in its split: the runs are compared with it. */
export function addSeeds(id: string): Promise<string> {
  return begin(async () => {
    const first = await readRun(id);
    const { model, device, record } = first;
    const materials = await reopen(first);
    const opened: Opened[] = [];
    for (let seed = record.options.seed + 1; seed < record.options.seed + SEEDS; seed++) {
      const options = { ...ofMode(record.options, record.options.mode), seed };
      opened.push({ run: await newRun({ ...record.settings, model, device }, materials, options), materials });
    }
    const comparison = newId();
    await keepTogether(comparison, opened);
    await changeRun(id, { comparison });
    emit({ type: "runs" });
    return opened[0]!;
  });
}

/** Stores runs as those of a comparison, in their order. */
async function keepTogether(comparison: string, opened: readonly Opened[]): Promise<void> {
  const begun = Date.now();
  for (const [i, { run }] of opened.entries()) {
    Object.assign(run, { state: "waiting", comparison });
    run.record.created = begun + i;
    await keepFiles(run);
    await keepRun(run);
  }
}

/** Begins what `open` gives, and then the runs that follow in its comparison; resolves when the first has begun. */
async function begin(open: () => Promise<Opened>): Promise<string> {
  machine.begin();
  return new Promise((resolve, reject) => {
    trainAll(open, resolve)
      .finally(() => machine.finish())
      .catch(reject);
  });
}

/** Trains the runs if no other tab trains. */
async function trainAll(open: () => Promise<Opened>, began: (id: string) => void): Promise<void> {
  const { run: first, materials, from, isEnough = false } = await open();
  const done = await whileOnlyTrainer(async () => {
    await keepFiles(first, from);
    await train(first, materials, isEnough, () => began(first.id));
    for (let run = nextRun(first, await listRuns()); run; run = nextRun(run, await listRuns())) await follow(run);
    return true;
  });
  if (!done)
    throw new ConfigError("used-by-another-process", "Another tab of this page is training", {
      hint: "stop the run there, or wait until it ends",
    });
}

/** Trains a run and the others of its comparison that can be trained with it. */
async function train(run: PageRun, materials: OpenedRun, isEnough = false, began = () => {}): Promise<void> {
  const companions = findCompanions(run, await listRuns());
  const report = (run: PageRun, speed: Speed | null) => emit({ type: "run", run, speed });
  const group = new TrainingGroup(run, companions, materials, report);
  machine.train(group);
  if (isEnough) group.finish();
  began();
  try {
    await group.work();
  } finally {
    machine.next();
    if (group.runs.some(({ error }) => error?.name === "DeviceError")) await giveUp(materials.device);
  }
}

/** Continues a comparison after a device has failed or a run could not begin. A run that cannot begin now fails. */
async function follow(run: PageRun): Promise<void> {
  try {
    await train(run, await reopen(run));
  } catch (error) {
    Object.assign(run, { state: "failed", error: reportError(error) });
    await keepRun(run);
    emit({ type: "run", run, speed: null });
  }
}

/** The settings of each run: the visitor's, except those of the method. */
export function methodSettings(settings: PageSettings, modes: readonly Mode[], known: Known): PageSettings[] {
  const { adapter: _, ...others } = settings;
  return comparedRuns(modes).map(({ settings: method, rates }) =>
    ofMode({ ...others, ...method, lr: pickRate(rates, known) }, method.mode),
  );
}
