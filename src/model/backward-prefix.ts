/** The gradients of a prefix and of its projection: see prefix.ts. Only what trains loads it. */
import { linearBackward } from "../ops/linear.ts";
import { matmul } from "../ops/matmul.ts";
import { prefixBackward } from "../ops/prefix.ts";
import { tanhBackward } from "../ops/tanh.ts";
import type { Tensor } from "../tensor.ts";
import type { BackwardLayers } from "./backward-layers.ts";
import { rowTensor } from "./layers.ts";
import { only } from "./parameters.ts";
import type { Prefix } from "./prefix.ts";

export class BackwardPrefix {
  /** Of the prefix [n, L 2 KV HS]; null: it is frozen. */
  private readonly grad: Tensor | null;

  constructor(
    private readonly prefix: Prefix,
    private readonly b: BackwardLayers,
  ) {
    const { projection, virtual } = prefix;
    if (projection) this.grad = rowTensor("dprefix", virtual, projection.proj.out.shape.slice(1));
    else {
      const { grad } = b.parameter("prefix.weight");
      this.grad = grad && only(grad);
    }
  }

  /** Adds to the gradient of block l's prefix; that of a projection's output is written. */
  read(droom: Tensor, l: number): void {
    const { b, grad, prefix } = this;
    if (grad) b.emit(prefixBackward(grad, l, droom, prefix.rows.row, b.heads(l), prefix.projection ? 0 : 1));
  }

  /** The gradients of the projection's parameters. */
  backward(): void {
    const { b, grad, prefix } = this;
    if (!prefix.projection) return;
    const { E, fc, hidden, proj } = prefix.projection;
    const { count: n } = prefix.rows;
    const dhidden = rowTensor("dprefix.hidden", prefix.virtual, hidden.shape.slice(1));
    b.emit(linearBackward({ dx: dhidden, dy: grad!, W: only(proj.weight), rows: n }));
    const dfc = rowTensor("dprefix.fc", prefix.virtual, hidden.shape.slice(1));
    b.emit(tanhBackward(dfc, dhidden, hidden, n));
    b.gradients({ of: proj, x: hidden, dy: grad! }, { of: fc, x: E, dy: dfc });
    const { grad: dE } = b.parameter("prefix.embedding");
    const W = only(fc.weight);
    const [C, k] = W.shape as [number, number];
    if (dE) b.emit(matmul({ out: only(dE), a: dfc, b: W, transB: true, m: n, n: C, k, beta: 1 }));
  }
}
