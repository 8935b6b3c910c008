/**
 * Checks a WebGPU device before a run trusts it: drivers do miscompile. Two blocks of the run's own model, with the first tokens of
 * its own data, go forward and backward on the device and on the CPU; logits, loss and every gradient must agree. If the device
 * was chosen automatically, it must also be the faster one.
 */
import type { Backend } from "../backend/backend.ts";
import { openWasm } from "../backend/wasm.ts";
import type { LoraConfig } from "../config.ts";
import { modelBatch } from "../engine/batches.ts";
import { Engine } from "../engine/engine.ts";
import { initialize, loadBase } from "../engine/state.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Batch } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { loraSites } from "../names.ts";
import type { AdamWConfig } from "../ops/adamw.ts";
import { Rng } from "../rng.ts";
import { sizeOf } from "../tensor.ts";
import { type PreparedRun, prepareRun, type RunArguments } from "./prepare.ts";

/** Tokens of the check. */
const TOKENS = 256;
/**
 * Largest error of a tensor, ||device - cpu|| / ||cpu||. Rounding gives some 1e-6, another order of a long sum 1e-5; a wrong tile
 * of 32 x 32 in a product of 256 x 768 gives 7e-2.
 */
const TOLERANCE = 1e-3;
/** Standard deviation of the adapters' B, whose zeros would hide products. */
const SPREAD = 0.02;

/** Timed repetitions; the fastest counts. */
const TRIALS = 3;

/** Devices with the plans for which they were checked. */
const checked = new WeakMap<Backend, Set<string>>();

export interface DeviceChoice {
  prepared: PreparedRun;
  device: Backend;
  /** Releases the CPU where it replaces the device. */
  release(): void;
}

/**
 * The device for a run: the given one, or the CPU if a WebGPU device computes wrongly, or was chosen automatically and is slower.
 * `info.why` of the device says which. A device is checked once for a kind of plan. Throws what `prepareRun` throws.
 */
export async function chooseDevice(run: RunArguments): Promise<DeviceChoice> {
  const { device, model } = run;
  const prepared = prepareRun(run);
  const keep = { prepared, device, release: () => {} };
  if (device.info.kind !== "webgpu") return keep;
  const { spec, options, optimizer } = prepared;
  const seen = checked.get(device) ?? new Set();
  checked.set(device, seen);
  const key = JSON.stringify({ ...spec, lora: spec.lora && { ...spec.lora, lora_alpha: 0 } });
  if (seen.has(key)) return keep;
  const [first] = prepared.loader.epoch(0);
  const cpu = await openWasm({});
  try {
    const batch = modelBatch(first!, options.pooling);
    const { mismatch, ms } = await checkDevice(device, cpu, model, spec, optimizer, batch);
    const { name, why } = device.info;
    if (mismatch) {
      const { what, error } = mismatch;
      cpu.info.why = `${name} computes wrongly: ${what} differs from the CPU's by ${error.toExponential(1)} of its size`;
    } else if (why !== undefined && ms.cpu < ms.device) {
      cpu.info.why = `faster than ${name}: ${ms.cpu.toFixed(1)} ms for two blocks, not ${ms.device.toFixed(1)} ms`;
    } else {
      if (why !== undefined)
        device.info.why = `a hardware GPU: ${ms.device.toFixed(1)} ms for two blocks, the CPU ${ms.cpu.toFixed(1)} ms`;
      seen.add(key);
      cpu.destroy();
      return keep;
    }
    return { prepared: prepareRun({ ...run, device: cpu }), device: cpu, release: () => cpu.destroy() };
  } catch (error) {
    cpu.destroy();
    throw error;
  }
}

/** What the device computed wrongly. */
export interface Mismatch {
  /** "logits", "loss", or "the gradient of NAME". */
  what: string;
  error: number;
}

export interface CheckResult {
  /** Null if device and CPU agree. */
  mismatch: Mismatch | null;
  /** Milliseconds of a forward and a backward pass. */
  ms: { device: number; cpu: number };
}

/** Compares a device with the CPU. `batch` is one of the run's batches. */
export async function checkDevice(
  device: Backend,
  cpu: Backend,
  model: GPT2Checkpoint,
  spec: ModelSpec,
  optimizer: AdamWConfig,
  batch: Batch,
): Promise<CheckResult> {
  const part = firstTokens(batch, TOKENS);
  const { ids, excerpt } = excerptOf(model, spec, part);
  const small = { ...part, ids: part.ids.map((id) => ids.indexOf(id)), ...targetsOf(part, spec, ids) };
  const options = {
    spec: excerpt.spec,
    capacity: { tokens: small.ids.length, sequences: small.starts.length - 1 },
    optimizer,
  };
  const reference = await run(cpu, excerpt.checkpoint, options, small);
  const found = await run(device, excerpt.checkpoint, options, small);
  const ms = { device: found.ms, cpu: reference.ms };
  for (const [what, expected] of reference.results) {
    const error = relativeError(found.results.get(what)!, expected);
    if (!(error <= TOLERANCE)) return { mismatch: { what, error }, ms };
  }
  return { mismatch: null, ms };
}

/** Logits, loss and gradients of one batch, by name, and the milliseconds of the fastest pass. */
async function run(
  backend: Backend,
  checkpoint: GPT2Checkpoint,
  options: Parameters<typeof Engine.create>[1],
  batch: Batch,
): Promise<{ results: Map<string, Float32Array>; ms: number }> {
  const engine = await Engine.create(backend, options);
  try {
    await loadBase(engine, checkpoint);
    initialize(engine, 1);
    const rng = new Rng(2);
    for (const [name, { shape }] of engine.plan.parameters.all)
      if (name.endsWith(".B"))
        engine.writeParameter(
          name,
          Float32Array.from({ length: sizeOf(shape) }, () => SPREAD * rng.normal()),
        );
    const { loss } = await engine.result(engine.gradients(batch));
    const results = new Map<string, Float32Array>([["loss", Float32Array.of(loss)]]);
    if (engine.plan.logits.length === 1) results.set("logits", await engine.logits(batch.targets.length));
    for (const name of engine.trainableNames) results.set(`the gradient of ${name}`, await engine.readGradient(name));
    let ms = Infinity;
    for (let i = 0; i < TRIALS; i++) {
      const start = performance.now();
      await engine.result(engine.gradients(batch));
      ms = Math.min(ms, performance.now() - start);
    }
    return { results, ms };
  } finally {
    engine.destroy();
  }
}

/** The first sequences of a batch with at most `most` tokens together; of a longer sequence its first tokens. */
function firstTokens({ ids, starts, rows, targets }: Batch, most: number): Batch {
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
  };
}

/** A model of two blocks of `model` and the tokens of a batch alone, so that the check takes little time and memory. */
function excerptOf(model: GPT2Checkpoint, spec: ModelSpec, batch: Batch) {
  const { config } = spec;
  const isLanguageModel = spec.task.objective === "lm";
  const used = isLanguageModel ? [...batch.ids, ...batch.targets.filter((id) => id >= 0)] : [...batch.ids];
  const ids = [...new Set(used)].sort((a, b) => a - b);
  const layers = layersOf(spec);
  const original = (name: string) =>
    name.replace(/^(lora\.)?h\.(\d+)\./, (_, lora = "", l) => `${lora}h.${layers[l]}.`);
  const excerpt: ModelSpec = {
    ...spec,
    config: { ...config, n_layer: layers.length, vocab_size: ids.length },
    lora: spec.lora && loraOf(spec.lora, spec, layers),
  };
  const checkpoint: GPT2Checkpoint = {
    ...model,
    config: excerpt.config,
    async read(name, start = 0, end) {
      if (name !== "wte.weight") return model.read(original(name), start, end);
      const rows = await Promise.all(ids.slice(start, end).map((id) => model.read(name, id, id + 1)));
      return Float32Array.from(rows.flatMap((row) => [...row]));
    },
  };
  return { ids, excerpt: { spec: excerpt, checkpoint } };
}

/** The blocks to check: one on all tokens, one on the rows that are classified. They have adapters if two blocks have any. */
function layersOf({ config, lora }: ModelSpec): number[] {
  const { n_layer } = config;
  if (n_layer === 1) return [0];
  const adapted = lora ? loraSites(config, lora).flatMap(({ site }) => /^h\.(\d+)\./.exec(site)?.slice(1) ?? []) : [];
  const first = Number(adapted[0] ?? 0);
  return [Math.min(first, n_layer - 2), n_layer - 1];
}

/** The adapters of these blocks, and that of the head. */
function loraOf(lora: LoraConfig, { config }: ModelSpec, layers: readonly number[]): LoraConfig {
  const renamed = (name: string): string[] => {
    const l = /^h\.(\d+)\./.exec(name)?.[1];
    if (l === undefined) return [name];
    return layers.flatMap((layer, i) => (layer === Number(l) ? [name.replace(/^h\.\d+/, `h.${i}`)] : []));
  };
  const { layers_to_transform: _, ...rest } = lora;
  return {
    ...rest,
    sites: loraSites(config, lora).flatMap((one) => renamed(one.site).map((site) => ({ ...one, site }))),
    ...(lora.modulesToSave ? { modulesToSave: lora.modulesToSave.flatMap(renamed) } : {}),
  };
}

/** A language model's targets are ids. */
function targetsOf({ targets }: Batch, { task }: ModelSpec, ids: readonly number[]): Pick<Batch, "targets"> {
  return { targets: task.objective === "lm" ? targets.map((id) => (id < 0 ? id : ids.indexOf(id))) : targets };
}

/** ||found - expected|| / ||expected||; numbers that are finite in neither count as equal, in one alone as an infinite error. */
function relativeError(found: Float32Array, expected: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(found[i]) && !Number.isFinite(expected[i])) continue;
    difference += (found[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  if (!Number.isFinite(difference) || !Number.isFinite(norm)) return Infinity;
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
