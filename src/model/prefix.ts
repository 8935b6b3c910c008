/**
 * Prefix tuning (Li and Liang 2021): n keys and values a block, which every token sees before those of its own
 * sequence. They are rows of their own after the tokens' queries, keys and values.
 */

import type { Tensor } from "../core/tensor.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { prefixBackward, prefixForward } from "../ops/prefix.ts";
import { attentionHeads, type Common, type Lowering, type Source } from "./lower.ts";
import { only } from "./parameters.ts";

export class Prefix {
  /** Where the prefix is in the tensor of queries, keys and values. */
  readonly rows: { count: number; row: number };

  /** `count`: n virtual tokens; `source`: that of the list which has the prefix. */
  constructor(
    private readonly common: Common,
    source: Source,
    count: number,
  ) {
    this.rows = { count, row: source.rows.capacity };
  }

  /** [n, L 2 KV HS]. */
  private get parameter() {
    return this.common.parameters.all.get("prefix.weight")!;
  }

  /** Writes the prefix of block l into the rows behind the tokens'. */
  write(qkv: Tensor, l: number): Dispatch {
    return prefixForward(qkv, this.rows.row, only(this.parameter), l, attentionHeads(this.common.spec.config, l));
  }

  /** Adds to the gradient of block l's prefix, unless it is frozen. */
  backward(f: Lowering, dqkv: Tensor, l: number): Dispatch[] {
    const { grad } = this.parameter;
    return grad ? [prefixBackward(only(grad), l, dqkv, this.rows.row, attentionHeads(f.config, l))] : [];
  }
}
