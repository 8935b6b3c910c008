/** What the head of a trained model reads. */
import type { Device } from "../backend/backend.ts";
import type { BaseModel } from "../io/hf.ts";
import { adapterTensors } from "../io/peft/adapter-meta.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { numel } from "../tensor.ts";
import { Classifier } from "./classifier.ts";

/**
 * The model with the identity as its head: the logits of a text are then its last hidden state, of which the trained
 * head makes logits. The model is the adapter's, of whole texts.
 */
export async function openHidden({ meta, tensors }: Adapter, model: BaseModel, device: Device): Promise<Classifier> {
  const { n_embd: C } = model.config;
  const labels = Array.from({ length: C }, (_, i) => String(i));
  const task = { ...meta.task, objective: DEFAULT_OBJECTIVE, num_labels: C, head_bias: false };
  const identity = Float32Array.from({ length: C * C }, (_, i) => Number(i % (C + 1) === 0));
  const own = adapterTensors({ ...meta, labels, task }).map(({ name, layer, part, shape }) => {
    if (layer !== "head") return [name, tensors.get(name)!] as const;
    // An adapter of the head adds nothing.
    return [name, { shape, data: part === "weight" ? identity : new Float32Array(numel(shape)) }] as const;
  });
  return Classifier.of({ meta: { ...meta, labels, task }, tensors: new Map(own) }, model, device);
}
