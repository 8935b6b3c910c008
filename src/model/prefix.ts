/**
 * Prefix tuning (Li and Liang 2021): n keys and values a block, which every token sees before those of its own
 * sequence. They are rows of their own after the tokens' queries, keys and values. While a prefix is trained it may be
 * the output of an MLP, as in PEFT: P = tanh(E W_fc + b_fc) W_proj + b_proj; what is saved is P.
 *
 * Letters: n virtual tokens, C n_embd, L layers.
 */
import { qkvWidth } from "../config.ts";
import { keyValueColumns } from "../names.ts";
import { linearForward } from "../ops/linear.ts";
import { prefixForward } from "../ops/prefix.ts";
import { tanhForward } from "../ops/tanh.ts";
import { Tensor } from "../tensor.ts";
import { type Layers, type Linear, type Rows, rowTensor } from "./layers.ts";
import { only } from "./parameters.ts";
import type { ModelSpec } from "./trainable.ts";

export class Prefix {
  /** Where the prefix is in a `room` tensor. */
  readonly rows: { count: number; row: number };
  readonly virtual: Rows;
  /** Of queries, keys and values together. */
  private readonly columns: number;
  /** The projection, with its input E and the output of tanh; null: the prefix is a parameter. */
  readonly projection: { E: Tensor; fc: Linear; hidden: Tensor; proj: Linear } | null;
  /** [n, L 2 KV HS]. */
  private readonly weight: Tensor;

  constructor(
    spec: ModelSpec,
    private readonly tokens: Rows,
    private readonly f: Layers,
  ) {
    const { num_virtual_tokens: n = 0, encoder_hidden_size: hidden = 0, config } = spec;
    this.rows = { count: n, row: tokens.capacity };
    this.virtual = { count: n, capacity: n };
    this.columns = qkvWidth(config);
    const width = keyValueColumns(config);
    const activation = (name: string, columns: number) => rowTensor(name, this.virtual, [columns]);
    const linear = (name: string, columns: number): Linear => ({
      ...f.affine(name),
      rows: this.virtual,
      out: activation(name, columns),
      adapters: [],
    });
    if (hidden > 0) {
      const [fc, proj] = [linear("prefix.fc", hidden), linear("prefix.proj", width)];
      this.projection = { E: f.tensor("prefix.embedding"), fc, hidden: activation("prefix.hidden", hidden), proj };
      this.weight = proj.out;
    } else {
      this.projection = null;
      this.weight = f.tensor("prefix.weight");
    }
  }

  /** A tensor [tokens + n, (NH + 2 KV) HS]: queries, keys and values of the tokens and of the prefix. */
  room(name: string): Tensor {
    return new Tensor(name, [this.tokens.capacity + this.rows.count, this.columns], "activation");
  }

  /** The tokens' rows of such a tensor. */
  tokenRows(room: Tensor): Tensor {
    return room.view(room.name, [this.tokens.capacity, this.columns], 0);
  }

  /** Computes the prefix, if it has a projection. */
  forward(): void {
    if (!this.projection) return;
    const { E, fc, hidden, proj } = this.projection;
    this.multiply(fc, E);
    this.f.emit(tanhForward(hidden, fc.out, this.rows.count));
    this.multiply(proj, hidden);
  }

  private multiply({ weight, bias, out }: Linear, x: Tensor): void {
    this.f.emit(linearForward({ out, x, W: only(weight), bias: only(bias!), rows: this.rows.count }));
  }

  /** Writes the prefix of block l; `f`: into this list. */
  write(f: Layers, room: Tensor, l: number): void {
    f.emit(prefixForward(room, this.rows.row, this.weight, l, f.heads(l)));
  }
}
