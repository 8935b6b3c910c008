/** An adapter for more labels than it was trained with. */
import { type AdapterMeta, adapterShapes } from "../io/peft/adapter-meta.ts";
import type { Adapter, Tensors } from "../io/peft/peft.ts";
import { numel } from "../tensor.ts";

/**
 * The adapter with a head for these labels, which begin with its own. The rows of new labels are zeros. What was chosen
 * for the old ones, a temperature and thresholds, is left out.
 */
export function withLabels({ meta, tensors }: Adapter, labels: readonly string[]): Adapter {
  if (labels.length === meta.labels.length) return { meta, tensors };
  const { temperature: _, threshold: _t, positive: _p, thresholds: _s, ...settings } = meta.settings;
  const task = { ...meta.task, num_labels: labels.length };
  const grown: AdapterMeta = { ...meta, labels: [...labels], task, settings };
  const larger: Tensors = new Map();
  for (const [name, shape] of adapterShapes(grown)) {
    const data = new Float32Array(numel(shape));
    // The outputs are the rows of whatever has them.
    data.set(tensors.get(name)!.data);
    larger.set(name, { shape, data });
  }
  return { meta: grown, tensors: larger };
}
