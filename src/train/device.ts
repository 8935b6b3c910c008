/** The device of a run: the given one, if it computes a small step of the run as the CPU does. */

import { type Backend, describeDevice } from "../backend/backend.ts";
import { modelBatch } from "../engine/batches.ts";
import type { CheckOptions, Choice, Result, Work } from "../engine/device-check.ts";
import { Engine } from "../engine/engine.ts";
import { DeviceError } from "../errors.ts";
import { type Batch, drawsFrom } from "../model/batch.ts";
import { type PreparedRun, prepareRun, type RunArguments } from "./prepare.ts";

/** Tokens of the check. */
const TOKENS = 256;

/** A device that was chosen for a run, and the run as it is prepared for it. */
export interface ChosenDevice extends Choice {
  prepared: PreparedRun;
}

/**
 * Prepares a run on the device that `chooseDevice` chooses. Throws what both throw, and DeviceError if a resumed run
 * cannot continue on its kind of device.
 */
export async function prepareOnDevice(
  run: RunArguments,
  options: CheckOptions & CheckedPlan = {},
): Promise<ChosenDevice> {
  const prepared = prepareRun(run);
  const { info } = run.device;
  if (info.kind !== "webgpu") {
    if (info.why !== undefined && options.began === "webgpu") throw notOnWebGPU(run.device);
    return { device: run.device, info, prepared };
  }
  const { chooseDevice } = await import("../engine/device-check.ts");
  const choice = await chooseDevice(run.device, trainingWork(run, prepared, options), options);
  const { device } = choice;
  return { ...choice, prepared: device === run.device ? prepared : prepareRun({ ...run, device }) };
}

/** The error of a run that began on WebGPU, if only another device can be opened, or none. */
export function notOnWebGPU(instead: Backend | DeviceError): DeviceError {
  const [found] = "info" in instead ? [describeDevice(instead.info)] : instead.message.split("\n");
  return new DeviceError("no-webgpu", "the run began on WebGPU, which is not available", {
    expected: "the same kind of device: on another one the results are not bit-identical",
    found: found!,
    hint: "use --device webgpu for a software driver, or --device wasm to continue on the CPU",
  });
}

/** What of a run's plan is checked. */
interface CheckedPlan {
  signal?: AbortSignal | undefined;
  /** How many runs are to share its plan. */
  members?: number;
}

/** Forward and backward passes over the first tokens of the run's first batch. */
export function trainingWork(
  { model }: RunArguments,
  prepared: PreparedRun,
  { signal, members = 1 }: CheckedPlan = {},
): Work<Engine> {
  const { spec, options, capacity, optimizer, dropout, valueLoss, plan, loader } = prepared;
  const [packed] = loader.epoch(0);
  const { ids, starts, rows, targets, values } = firstTokens(modelBatch(packed!, options.pooling), TOKENS);
  // A language model's targets are ids.
  const isLanguageModel = spec.task.objective === "lm";
  const used = isLanguageModel ? [...ids, ...targets.filter((id) => id >= 0)] : [...ids];
  const vocabulary = chooseVocabulary(used, spec.config.vocab_size, isLanguageModel);
  const batch: Batch = {
    ids: ids.map((id) => vocabulary.indexOf(id)),
    starts,
    rows,
    targets: isLanguageModel ? targets.map((id) => (id < 0 ? id : vocabulary.indexOf(id))) : targets,
    values,
    draws: drawsFrom(1, starts.length - 1),
  };
  return {
    name: members > 1 ? `training in a plan of ${members}` : "training",
    model,
    spec,
    vocabulary,
    tokens: Math.min(TOKENS, capacity.tokens),
    async create(backend, spec) {
      const least = { tokens: ids.length, sequences: starts.length - 1 };
      // The CPU has one kernel for every size.
      const own = { spec, capacity: backend.info.kind === "wasm" ? least : capacity, optimizer };
      const common = { valueLoss, recompute: plan.recomputed > 0 };
      if (members === 1) return [await Engine.create(backend, { ...own, ...common, dropout })];
      // Two of them, in a plan for the batches of all.
      const { Group } = await import("../engine/group.ts");
      const tokens = Math.ceil((own.capacity.tokens * members) / 2);
      const member = { ...own, capacity: { ...own.capacity, tokens } };
      const { engines } = await Group.create(backend, { members: [member, member], ...common });
      return engines as [Engine, Engine];
    },
    pass: (engine) =>
      engine.until(signal, async () => {
        const [{ loss }, logits] = await Promise.all([
          engine.result(engine.gradients(batch)),
          engine.plan.logits.length === 1 ? engine.logits(batch.targets.length) : null,
        ]);
        return [["loss", Float32Array.of(loss)], ...(logits ? [["logits", logits] as Result] : [])];
      }),
    rest: (engine) =>
      Promise.all(
        engine.trainableNames.map(
          async (name): Promise<Result> => [`the gradient of ${name}`, await engine.readGradient(name)],
        ),
      ),
  };
}

/** Rows of a language model's token table in the check: its products get the kernels of the whole table. */
const TABLE_ROWS = 4096;

/** The ids in use, sorted; with others for a language model, as many as leave the table's rows aligned as they are. */
function chooseVocabulary(used: readonly number[], size: number, isLanguageModel: boolean): number[] {
  const ids = new Set(used);
  const count = isLanguageModel ? Math.min(size, TABLE_ROWS + (size % 8)) : 0;
  for (let id = 0; ids.size < count; id++) ids.add(id);
  return [...ids].sort((a, b) => a - b);
}

/** The first sequences of a batch with at most `most` tokens together; of a longer sequence its first tokens. */
function firstTokens({ ids, starts, rows, targets, values }: Batch, most: number): Batch {
  const count = Math.max(
    1,
    starts.findLastIndex((start, b) => b > 0 && start <= most),
  );
  const end = Math.min(starts[count]!, most);
  const bounds = starts.slice(0, count + 1);
  bounds[count] = end;
  const isPerToken = rows.length === 0;
  return {
    ids: ids.slice(0, end),
    starts: bounds,
    rows: rows.slice(0, count).map((row) => Math.min(row, end - 1)),
    targets: targets.slice(0, isPerToken ? end : count),
    values: values?.slice(0, (count * values.length) / (starts.length - 1)),
  };
}
