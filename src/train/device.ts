/** The device of a run: the given one, if it computes a small step of the run as the CPU does. */
import { modelBatch } from "../engine/batches.ts";
import { type CheckOptions, type Choice, chooseDevice, type Work } from "../engine/device-check.ts";
import { Engine } from "../engine/engine.ts";
import { type Batch, drawsFrom } from "../model/batch.ts";
import { type PreparedRun, prepareRun, type RunArguments } from "./prepare.ts";

/** Tokens of the check. */
const TOKENS = 256;

/** A device that was chosen for a run, and the run as it is prepared for it. */
export interface ChosenDevice extends Choice {
  prepared: PreparedRun;
}

/** Prepares a run on the device that `chooseDevice` chooses. Throws what both throw. */
export async function prepareOnDevice(run: RunArguments, options: CheckOptions): Promise<ChosenDevice> {
  const prepared = prepareRun(run);
  const choice = await chooseDevice(run.device, trainingWork(run, prepared, options.signal), options);
  const { device } = choice;
  return { ...choice, prepared: device === run.device ? prepared : prepareRun({ ...run, device }) };
}

/** Forward and backward passes over the first tokens of the run's first batch. */
export function trainingWork({ model }: RunArguments, prepared: PreparedRun, signal?: AbortSignal): Work<Engine> {
  const { spec, options, capacity, optimizer, dropout, valueLoss, loader } = prepared;
  const [packed] = loader.epoch(0);
  const { ids, starts, rows, targets, values } = firstTokens(modelBatch(packed!, options.pooling), TOKENS);
  // A language model's targets are ids.
  const isLanguageModel = spec.task.objective === "lm";
  const used = isLanguageModel ? [...ids, ...targets.filter((id) => id >= 0)] : [...ids];
  const vocabulary = [...new Set(used)].sort((a, b) => a - b);
  const batch: Batch = {
    ids: ids.map((id) => vocabulary.indexOf(id)),
    starts,
    rows,
    targets: isLanguageModel ? targets.map((id) => (id < 0 ? id : vocabulary.indexOf(id))) : targets,
    values,
    draws: drawsFrom(1, starts.length - 1),
  };
  return {
    name: "training",
    model,
    spec,
    vocabulary,
    tokens: Math.min(TOKENS, capacity.tokens),
    create: (backend, spec) =>
      Engine.create(backend, {
        spec,
        capacity: { tokens: ids.length, sequences: starts.length - 1 },
        optimizer,
        dropout,
        valueLoss,
      }),
    pass: (engine) =>
      engine.until(signal, async () => {
        const { loss } = await engine.result(engine.gradients(batch));
        return [["loss", Float32Array.of(loss)]];
      }),
    async rest(engine) {
      const results: [string, Float32Array][] = [];
      if (engine.plan.logits.length === 1) results.push(["logits", await engine.logits(batch.targets.length)]);
      for (const name of engine.trainableNames)
        results.push([`the gradient of ${name}`, await engine.readGradient(name)]);
      return results;
    },
  };
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
