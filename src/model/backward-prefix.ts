/** The gradients of a prefix and of its projection: see prefix.ts. Only what trains loads it. */
import type { Dispatch } from "../ops/kernel.ts";
import { linearBackward } from "../ops/linear.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { prefixBackward } from "../ops/prefix.ts";
import type { Tensor } from "../tensor.ts";
import type { BatchInputs } from "./batch.ts";
import { attentionHeads, type Lowering } from "./lower.ts";
import { only } from "./parameters.ts";
import type { Prefix } from "./prefix.ts";
import { rowTensor } from "./rows.ts";

export class BackwardPrefix {
  readonly rows: Prefix["rows"];
  /** Of the prefix [n, L 2 KV HS]; null: it is frozen. */
  private readonly grad: Tensor | null;

  constructor(
    private readonly prefix: Prefix,
    private readonly f: Lowering,
    private readonly list: Dispatch[],
    private readonly batch: BatchInputs,
  ) {
    const { projection, virtual } = prefix;
    this.rows = prefix.rows;
    if (projection) this.grad = rowTensor("dprefix", virtual, projection.proj.out.shape.slice(1));
    else {
      const { grad } = f.parameter("prefix.weight");
      this.grad = grad && only(grad);
    }
  }

  /** Adds to the gradient of block l's prefix; that of a projection's output is written. */
  read(dqkv: Tensor, l: number): void {
    const { f, grad, rows, prefix } = this;
    if (grad)
      this.list.push(prefixBackward(grad, l, dqkv, rows.row, attentionHeads(f.config, l), prefix.projection ? 0 : 1));
  }

  /** The gradients of the projection's parameters. */
  backward(): void {
    const { batch, grad, list, prefix } = this;
    if (!prefix.projection) return;
    const { E, fc, hidden, proj } = prefix.projection;
    const { count: m } = prefix.rows;
    const dfc = rowTensor("dprefix.fc", prefix.virtual, hidden.shape.slice(1));
    const activated = { by: "tanh", inp: fc.out, act: hidden } as const;
    list.push(linearBackward({ dx: dfc, dy: grad!, W: only(proj.weight), rows: m, activated }));
    for (const [{ weight, bias }, a, b] of [
      [proj, hidden, grad!],
      [fc, only(E), dfc],
    ] as const) {
      const [k, n] = weight.shape as [number, number];
      list.push(matmulBiasBackward([{ dbias: only(bias.grad!) }], b, m, batch));
      list.push(matmul({ out: only(weight.grad!), a, b, transA: true, m: k, n, k: m, lda: k, beta: 1 }));
    }
    const W = only(fc.weight);
    const [n, k] = W.shape as [number, number];
    if (E.grad) list.push(matmul({ out: only(E.grad), a: dfc, b: W, transB: true, m, n, k, beta: 1 }));
  }
}
