/** The gradients of a prefix and of its projection: see prefix.ts. Only what trains loads it. */
import type { Dispatch } from "../ops/kernel.ts";
import { matmul } from "../ops/matmul.ts";
import { prefixBackward } from "../ops/prefix.ts";
import type { Tensor } from "../tensor.ts";
import { attentionHeads, type Lowering } from "./lower.ts";
import { only } from "./parameters.ts";
import type { Prefix } from "./prefix.ts";
import { rowTensor } from "./rows.ts";
import { type Context, Rules } from "./rules.ts";

export class BackwardPrefix {
  readonly rows: Prefix["rows"];
  /** Of the prefix [n, L 2 KV HS]; null: it is frozen. */
  private readonly grad: Tensor | null;

  constructor(
    private readonly prefix: Prefix,
    private readonly f: Lowering,
    private readonly list: Dispatch[],
  ) {
    const { projection, rows } = prefix;
    this.rows = rows;
    const pieces = projection ? null : f.parameter("prefix.weight").grad;
    this.grad = pieces && only(pieces);
    if (projection) {
      const { columns } = projection.section.output;
      this.grad = rowTensor("dprefix", { capacity: rows.count }, [columns]);
    }
  }

  /** Adds to the gradient of block l's prefix; that of a projection's output is written. */
  read(dqkv: Tensor, l: number): void {
    const { f, grad, prefix, rows } = this;
    const beta = prefix.projection ? 0 : 1;
    if (grad) this.list.push(prefixBackward(grad, l, dqkv, rows.row, attentionHeads(f.config, l), beta));
  }

  /** The gradients of the projection's parameters. */
  backward(context: Context): void {
    const { projection, rows } = this.prefix;
    if (!projection) return;
    const { section, f } = projection;
    const rules = new Rules(f, section, context);
    rules.run(this.grad!);
    const a = rules.gradient(section.layers[0]!.out);
    const [E, W] = [f.parameter("prefix.embedding"), only(f.parameter("prefix.fc.weight"))];
    const [n, k] = W.shape as [number, number];
    if (a && E.grad) this.list.push(matmul({ out: only(E.grad), a, b: W, transB: true, m: rows.count, n, k, beta: 1 }));
  }
}
