/**
 * Prefix tuning (Li and Liang 2021): n keys and values a block, which every token sees before those of its own
 * sequence. They are rows of their own after the tokens' queries, keys and values. While a prefix is trained it may be
 * the output of an MLP, as in PEFT: P = tanh(E W_fc + b_fc) W_proj + b_proj; what is saved is P.
 *
 * Letters: n virtual tokens, C n_embd, L layers.
 */
import { keyValueColumns } from "../names.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { linearForward } from "../ops/linear.ts";
import { prefixForward } from "../ops/prefix.ts";
import type { Tensor } from "../tensor.ts";
import { attentionHeads } from "./lower.ts";
import { only, type Parameter, type Parameters } from "./parameters.ts";
import { type Rows, rowTensor } from "./rows.ts";
import type { ModelSpec } from "./trainable.ts";

/** y = x W + b. */
interface Projection {
  weight: Parameter;
  bias: Parameter;
  out: Tensor;
}

export class Prefix {
  /** Where the prefix is in the tensor of queries, keys and values. */
  readonly rows: { count: number; row: number };
  readonly virtual: Rows;
  /** The projection, with its input E and the output of tanh, of `fc.out`; null: the prefix is a parameter. */
  readonly projection: { E: Parameter; fc: Projection; hidden: Tensor; proj: Projection } | null;
  /** [n, L 2 KV HS]. */
  private readonly weight: Tensor;

  constructor(
    private readonly spec: ModelSpec,
    { all }: Parameters,
    tokens: Rows,
  ) {
    const { num_virtual_tokens: n = 0, encoder_hidden_size: hidden = 0, config } = spec;
    this.rows = { count: n, row: tokens.capacity };
    this.virtual = { count: n, capacity: n };
    const linear = (name: string, columns: number): Projection => {
      const [weight, bias] = [all.get(`${name}.weight`)!, all.get(`${name}.bias`)!];
      return { weight, bias, out: rowTensor(name, this.virtual, [columns], "output") };
    };
    if (hidden > 0) {
      const [fc, proj] = [linear("prefix.fc", hidden), linear("prefix.proj", keyValueColumns(config))];
      const E = all.get("prefix.embedding")!;
      this.projection = { E, fc, hidden: rowTensor("prefix.hidden", this.virtual, [hidden]), proj };
      this.weight = proj.out;
    } else {
      this.projection = null;
      this.weight = only(all.get("prefix.weight")!);
    }
  }

  /** What computes the prefix, if it has a projection. */
  derive(): Dispatch[] {
    if (!this.projection) return [];
    const { E, fc, hidden, proj } = this.projection;
    const product = ({ weight, bias, out }: Projection, x: Tensor) =>
      ({ out, x, W: only(weight), bias: only(bias), rows: this.rows.count }) as const;
    return [
      linearForward({ ...product(fc, only(E)), activate: { by: "tanh", out: hidden } }),
      linearForward(product(proj, hidden)),
    ];
  }

  /** Writes the prefix of block l into the rows behind the tokens'. */
  write(qkv: Tensor, l: number): Dispatch {
    return prefixForward(qkv, this.rows.row, this.weight, l, attentionHeads(this.spec.config, l));
  }
}
