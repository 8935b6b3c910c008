/** What a run computes in the check of a WebGPU device: a small step over the first tokens of its first batch. */
import type { Backend } from "../backend/backend.ts";
import { modelBatch } from "../engine/batches.ts";
import type { Result, Work } from "../engine/device-check.ts";
import { Engine } from "../engine/engine.ts";
import { excerptVocabulary } from "../engine/excerpt.ts";
import type { GroupOptions } from "../engine/group.ts";
import { LowrankError } from "../errors.ts";
import { AdamW } from "../model/adamw.ts";
import { type Batch, type Capacity, drawsFrom } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { PreparedRun, RunArguments } from "./prepare.ts";

/** Tokens of the check. A software driver, which is never timed, takes seconds for what a card computes at once. */
const TOKENS = 256;
const SOFTWARE_TOKENS = 32;
/** A language model's rows of the table for all tokens: most of its work is logits. */
const ROWS = 4096;

/** The rate of the check's step. With so large an `eps` an update is about proportional to the gradient. */
const RATE = 1;
const smooth = ({ config }: AdamW) => new AdamW({ ...config, eps: 1 });

/** Forward and backward passes, and an update. `runs`: those that are to share a plan, or one. */
export async function trainingWork(
  { model, device }: Pick<RunArguments, "model" | "device">,
  runs: readonly [PreparedRun, ...PreparedRun[]],
  signal?: AbortSignal,
): Promise<Work<Engine>> {
  const [{ spec, options, capacity, optimizer, dropout, valueLoss, plan, features, loader }] = runs;
  // A page that trains one run at a time does not load it.
  const { Group } = runs.length > 1 ? await import("../engine/group.ts") : {};
  const common = { valueLoss, recompute: plan.recomputed > 0 };
  /** The runs in one plan, as small models or as they are. */
  const together = (specs: readonly ModelSpec[], capacity: Capacity, part?: "upper"): GroupOptions => ({
    members: specs.map((spec, i) => ({ spec, capacity, optimizer: smooth(runs[i]!.optimizer) })),
    ...common,
    ...(part && { part }),
  });
  const specs = runs.map(({ spec }) => spec) as [ModelSpec, ...ModelSpec[]];
  const most = { ...capacity, tokens: Math.max(...runs.map(({ capacity }) => capacity.tokens)) };
  const own = Group ? Group.plan(device, together(specs, most, features ? "upper" : undefined)) : plan;
  const programs = [own, ...(features ? [features.plan] : [])];

  const [packed] = loader.epoch(0);
  const first = modelBatch(packed!, options.pooling);
  // A language model's targets are ids.
  const isLanguageModel = spec.task.objective === "lm";
  const tokens = device.info.software ? SOFTWARE_TOKENS : TOKENS;
  const some = firstTokens(first, Math.ceil(tokens / runs.length));
  const inUse = [...some.ids, ...some.targets.filter((id) => id >= 0)];
  const widest = isLanguageModel ? excerptVocabulary(inUse, spec.config.vocab_size, programs) : [];
  const { ids, starts, rows, targets, values } = firstTokens(
    some,
    Math.ceil((tokens * ROWS) / runs.length / (widest.length || 1)),
  );
  const vocabulary = isLanguageModel ? widest : [...new Set(ids)].sort((a, b) => a - b);
  const batch: Batch = {
    ids: ids.map((id) => vocabulary.indexOf(id)),
    starts,
    rows,
    targets: isLanguageModel ? targets.map((id) => (id < 0 ? id : vocabulary.indexOf(id))) : targets,
    values,
    draws: drawsFrom(1, starts.length - 1),
  };
  /** The CPU has one kernel for every size. */
  const roomOn = ({ info }: Pick<Backend, "info">): Capacity =>
    info.kind === "wasm" ? { tokens: ids.length, sequences: starts.length - 1 } : most;
  const alone = (spec: ModelSpec, room: Capacity) => ({
    ...{ spec, capacity: room, optimizer: smooth(optimizer), dropout },
    ...common,
  });
  return {
    name: runs.length > 1 ? `training in a plan of ${runs.length}` : "training",
    ...{ model, specs, programs, vocabulary },
    tokens: Math.min(tokens, capacity.tokens),
    plan(specs) {
      const room = roomOn(device);
      try {
        return Group ? Group.plan(device, together(specs, room)) : Engine.plan(device, alone(specs[0]!, room));
      } catch (error) {
        if (error instanceof LowrankError) return null;
        throw error;
      }
    },
    async create(backend, specs) {
      const room = roomOn(backend);
      if (!Group) return [await Engine.create(backend, alone(specs[0]!, room))];
      const { engines } = await Group.create(backend, together(specs, room));
      return engines as [Engine, ...Engine[]];
    },
    pass: (engine) => engine.until(signal, () => engine.result(engine.gradients(batch))),
    results: (engine) =>
      engine.until(signal, async () => {
        const read = (what: (name: string) => string, values: (name: string) => Promise<Float32Array>) =>
          Promise.all(engine.trainableNames.map(async (name): Promise<Result> => [what(name), await values(name)]));
        const [slot] = engine.step([batch], RATE);
        const [{ loss, norm }, logits] = await Promise.all([
          engine.result(slot!),
          // Those of a language model are in pieces, and its loss tells of all.
          isLanguageModel ? null : engine.logits(batch.targets.length),
        ]);
        return [
          ["loss", Float32Array.of(loss)],
          ...(logits ? [["logits", logits] as Result] : []),
          ...(await read(
            (name) => `the gradient of ${name}`,
            (name) => engine.readGradient(name),
          )),
          ["the norm of the gradients", Float32Array.of(norm)],
          ...(await read(
            (name) => `${name} after a step`,
            (name) => engine.readParameter(name),
          )),
        ];
      }),
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
