/**
 * Everything that was learned, scaled: theta(s) = theta0 + s (theta1 - theta0), where theta0 are the parameters before
 * training and theta1 those after it. Between 0 and 1 this is WiSE-FT (Wortsman et al. 2022); for LoRA it is the factor
 * s of B A.
 */

import { initialTensors } from "../engine/initial.ts";
import { argmaxRows } from "../engine/predictions.ts";
import { asSaved } from "../engine/trained.ts";
import type { Classifier } from "../infer/classifier.ts";
import { adaptedSpec, adapterTensors, baseDtype } from "../io/adapter-meta.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft.ts";
import { methodConfig } from "../methods/index.ts";
import type { TextOrPair } from "../pair.ts";
import { DEFAULTS, type TrainOptions } from "../train/options.ts";

/** What a run that started from no adapter began with: the tensors that are not the base model's. */
export async function startTensors(
  meta: AdapterMeta,
  options: Partial<TrainOptions>,
  base: BaseModel,
): Promise<Tensors> {
  const all = { ...DEFAULTS, ...options };
  const spec = {
    ...methodConfig(all),
    ...adaptedSpec(meta, { config: base.config, train_head: true, dtype: baseDtype(meta) }),
  };
  return asSaved(await initialTensors(spec, all, base));
}

/**
 * Writes theta(s) into a classifier that was made from the trained `adapter`. Tensors that are not in `start` are the
 * base model's. A stays as it is where B was 0 at first: then s scales their product.
 */
export async function scaleTo(
  classifier: Classifier,
  { meta, tensors }: Adapter,
  start: Tensors,
  base: BaseModel,
  s: number,
): Promise<void> {
  const isZero = (name: string) => start.get(name)?.data.every((value) => value === 0) === true;
  for (const { name, shape, partner } of adapterTensors(meta)) {
    if (partner && isZero(partner.name)) continue;
    const { data } = tensors.get(name)!;
    const from = start.get(name)?.data ?? (await base.read(name));
    // Exact at 0 and at 1.
    const between = data.map((value, i) => (1 - s) * from[i]! + s * value);
    classifier.update(new Map([[name, { shape, data: between }]]));
  }
}

/** A message of the test set, with its class. */
interface Labelled {
  text: TextOrPair;
  truth: string;
}

/** Messages that are classified between two checks of the signal. */
const CHUNK = 64;

/** The share of messages that get their class. Rejects with the signal's reason when it aborts. */
export async function measureAccuracy(
  classifier: Classifier,
  messages: readonly Labelled[],
  signal?: AbortSignal,
): Promise<number> {
  const { labels } = classifier;
  let correct = 0;
  for (let first = 0; first < messages.length; first += CHUNK) {
    signal?.throwIfAborted();
    const some = messages.slice(first, first + CHUNK);
    const predicted = argmaxRows(await classifier.logits(some.map(({ text }) => text)), labels.length);
    correct += some.filter(({ truth }, i) => labels[predicted[i]!] === truth).length;
  }
  return correct / messages.length;
}
