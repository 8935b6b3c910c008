import { alignView, type Tensor } from "../../src/core/tensor.ts";
import { type AdapterGroup, adapterColumns } from "../../src/ops/adapters.ts";
import { gemm } from "./gemm.ts";
import type { OpCase } from "./op-case.ts";

export type Place = Pick<AdapterGroup, "count" | "r" | "input" | "width" | "column" | "step"> & { skew?: number };

/** A buffer like the model's: A and B of each adapter, aligned to 256 bytes, with other numbers in between. */
export function makeGroup(c: OpCase, scale: number, place: Place): { group: AdapterGroup; page: Tensor } {
  const { count, r, input, width, skew = 0 } = place;
  const size = alignView(r * input);
  const stride = size + alignView((width + skew) * r);
  const first = 64;
  const page = c.random("page", [first + count * stride + 64], 0.3);
  const flat = (name: string, offset: number, used: number) => page.view(name, [(count - 1) * stride + used], offset);
  const [A, B] = [flat("A", first, r * input), flat("B", first + size, (count > 1 ? width : width + skew) * r)];
  return { group: { ...place, skew, scale, stride, A, B }, page };
}

/** A [r, input] and B [width, r] of adapter i. */
export function factorsAt(c: OpCase, group: AdapterGroup, i: number) {
  const { A, B, r, input, stride } = group;
  const { width } = adapterColumns(group, i);
  const part = (tensor: Tensor, size: number) => c.data(tensor).slice(i * stride, i * stride + size);
  return { A: part(A, r * input), B: part(B, width * r) };
}

/** The sum of scale * (B A)^T in the adapters' columns: [input, n]. */
export function dense(c: OpCase, group: AdapterGroup, n: number): Float64Array {
  const { count, r, input, scale } = group;
  const sum = new Float64Array(input * n);
  for (let i = 0; i < count; i++) {
    const { A, B } = factorsAt(c, group, i);
    const { column, width } = adapterColumns(group, i);
    const BA = gemm({ out: new Float64Array(width * input), a: B, b: A, m: width, n: input, k: r, alpha: scale });
    for (let j = 0; j < width; j++) for (let k = 0; k < input; k++) sum[k * n + column + j]! += BA[j * input + k]!;
  }
  return sum;
}
