/** LoRA's adapters of a matrix in a plan: groups that are handled together, and the room for what they compute. */
import { firstColumn, type Place } from "../core/names.ts";
import { alignView, numel, Tensor } from "../core/tensor.ts";
import { type AdapterGroup, adapterColumns } from "../ops/adapters.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { matmul } from "../ops/matmul.ts";
import type { Capacity, Rows } from "./batch.ts";
import { findAdapters, only, type Parameter, type Parameters } from "./parameters.ts";
import type { ModelSpec } from "./trainable.ts";

/** Adapters of a matrix that are handled together. */
export interface Adapters {
  group: AdapterGroup;
  /** scale * x A^T [rows, count r], and its gradient. */
  down: Tensor;
  ddown: Tensor;
  /** The buffer of their gradients, if they are trained. */
  grad: Tensor | null;
}

/** Makes the adapters of a list of dispatches. */
export class AdapterRoom {
  /** The buffers for `down` of the current block or head, and how much of them is used. */
  private downs: { block: number | null; down: Tensor; ddown: Tensor; at: number } | null = null;

  constructor(
    private readonly spec: ModelSpec,
    private readonly parameters: Parameters,
    private readonly capacity: Capacity,
  ) {}

  /** The adapters of a matrix in groups: adjacent in their buffer and in the result, with equal rank and scale. */
  make(place: Place, rows: Rows): Adapters[] {
    const groups: AdapterGroup[] = [];
    const grads: (Tensor | null)[] = [];
    for (const { A, B } of findAdapters(this.parameters, place)) {
      const one = this.adapterGroup(A, B);
      const last = groups.at(-1);
      if (last && append(last, one)) continue;
      groups.push(one);
      grads.push(A.grad && only(A.grad).root);
    }
    return groups.map((group, i) => this.withRows(place.block, group, grads[i]!, rows));
  }

  /** The group of an adapter alone. */
  private adapterGroup(A: Parameter, B: Parameter): AdapterGroup {
    const [r, input] = A.shape as [number, number];
    const { target, scale } = A.adapter!;
    const flat = (tensor: Tensor) => tensor.view(tensor.name, [tensor.size], 0);
    const column = firstColumn(target, this.spec.config);
    const place = { count: 1, column, step: 0, stride: 0, width: B.shape[0]!, skew: 0 };
    return { r, input, scale, ...place, A: flat(only(A)), B: flat(only(B)) };
  }

  /** Room for a group's `down`. Bindings are few: those of a block are in one buffer, their gradients in another. */
  private withRows(block: number | null, group: AdapterGroup, grad: Tensor | null, rows: Rows): Adapters {
    const shape = [rows.capacity, group.count * group.r];
    if (this.downs?.block !== block) {
      const most = Math.max(this.capacity.tokens, this.capacity.sequences);
      const size = [...this.parameters.all.values()]
        .filter((parameter) => parameter.partner && parameter.block === block)
        .reduce((sum, { shape: [r] }) => sum + alignView(most * r!), 0);
      const owner = block === null ? "head" : `h.${block}`;
      const root = (name: string) => new Tensor(`${owner}.${name}`, [size], "activation");
      this.downs = { block, down: root("down"), ddown: root("ddown"), at: 0 };
    }
    const { down, ddown, at } = this.downs;
    this.downs.at += alignView(numel(shape));
    const view = (tensor: Tensor) => tensor.view(tensor.name, shape, at);
    return { group, grad, down: view(down), ddown: view(ddown) };
  }
}

/** Adds an adapter to a group if it is the next in its buffer and in the result, with the same rank and scale. */
function append(group: AdapterGroup, next: AdapterGroup): boolean {
  const { count, r, scale } = group;
  const stride = next.A.offset - group.A.offset;
  // The first may be wider.
  const first = adapterColumns(group, 0);
  const { width } = next;
  const skew = first.width - width;
  const step = next.column - first.column - skew;
  const isSame = next.r === r && next.scale === scale && next.A.root === group.A.root && skew >= 0;
  const isNext =
    count === 1
      ? stride > 0 && step > 0
      : stride === count * group.stride && step === count * group.step && width === group.width;
  if (!isSame || !isNext) return false;
  group.count++;
  if (count === 1) Object.assign(group, { stride, step, width, skew });
  // Up to the end of the last one.
  for (const name of ["A", "B"] as const)
    group[name] = group[name].view(group[name].name, [next[name].offset + next[name].size - group[name].offset], 0);
  return true;
}

/** A or B of one adapter of a group. */
export function adapterPart(group: AdapterGroup, name: "A" | "B", i: number): Tensor {
  const { stride, r, input } = group;
  const shape = name === "A" ? [r, input] : [adapterColumns(group, i).width, r];
  return group[name].view(group[name].name, shape, i * stride);
}

/** out += down B^T for the adapters of a group that is not part of the product. */
export function addUp(out: Tensor, { group, down }: Adapters, { count: m }: Rows): Dispatch[] {
  const { count, r } = group;
  return Array.from({ length: count }, (_, i) => {
    const { column, width: n } = adapterColumns(group, i);
    const place = { lda: count * r, aOffset: i * r, ldc: out.shape[1]!, outOffset: column };
    return matmul({ out, a: down, b: adapterPart(group, "B", i), transB: true, m, n, k: r, beta: 1, ...place });
  });
}
