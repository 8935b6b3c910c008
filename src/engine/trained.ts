/** What training has made of the parameters: read from the device, and as it is saved. */
import type { NamedTensor, Tensors } from "../io/peft/peft.ts";
import type { Engine } from "./engine.ts";

/** The trained tensors as they are on the device now, with a classifier's head. */
export async function readTrained(engine: Engine): Promise<Tensors> {
  const tensors: Tensors = new Map();
  for (const { name, shape, grad, origin } of engine.plan.parameters.all.values())
    if (grad || origin === "head") tensors.set(name, { shape, data: await engine.readParameter(name) });
  return tensors;
}

/** Trained tensors as they are saved: like PEFT, with the projected prefix in place of its projection. Sums in f64. */
export function asSaved(tensors: Tensors): Tensors {
  const [E, fc, fcBias, proj, projBias] = PROJECTION.map((name) => tensors.get(name));
  if (!E || !fc || !fcBias || !proj || !projBias) return tensors;
  const hidden = product(E, fc, fcBias);
  hidden.data = hidden.data.map(Math.tanh);
  const rest = [...tensors].filter(([name]) => !PROJECTION.includes(name));
  return new Map([...rest, ["prefix.weight", product(hidden, proj, projBias)]]);
}

const PROJECTION = ["prefix.embedding", "prefix.fc.weight", "prefix.fc.bias", "prefix.proj.weight", "prefix.proj.bias"];

/** x [n, k] W [k, m] + bias [m]. */
function product(x: NamedTensor, W: NamedTensor, bias: NamedTensor): NamedTensor {
  const [n, k, m] = [x.shape[0]!, W.shape[0]!, W.shape[1]!];
  const data = new Float32Array(n * m);
  for (let i = 0; i < n; i++) {
    const sums = Float64Array.from(bias.data);
    for (let j = 0; j < k; j++) {
      const factor = x.data[i * k + j]!;
      for (let c = 0; c < m; c++) sums[c]! += factor * W.data[j * m + c]!;
    }
    data.set(sums, i * m);
  }
  return { shape: [n, m], data };
}
