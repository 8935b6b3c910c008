import { numel } from "../../core/tensor.ts";
import type { ComputedTensor } from "./safetensors-write.ts";

export async function collect({ shape, pieces }: ComputedTensor): Promise<Float32Array<ArrayBuffer>> {
  const values = new Float32Array(numel(shape));
  let at = 0;
  for await (const piece of pieces()) {
    values.set(piece, at);
    at += piece.length;
  }
  return values;
}
