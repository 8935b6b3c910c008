/**
 * Prefix tuning (Li and Liang 2021): n keys and values a block, which every token sees before those of its own
 * sequence. They are rows of their own after the tokens' queries, keys and values. While a prefix is trained it may be
 * the output of an MLP, as in PEFT: P = tanh(E W_fc + b_fc) W_proj + b_proj; what is saved is P.
 *
 * Letters: n virtual tokens, C n_embd, L layers.
 */
import { keyValueColumns } from "../names.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { prefixForward } from "../ops/prefix.ts";
import type { Tensor } from "../tensor.ts";
import type { Section, Value } from "./graph.ts";
import { attentionHeads, type Common, Lowering, type Source } from "./lower.ts";
import { only } from "./parameters.ts";
import type { ModelSpec } from "./trainable.ts";

export class Prefix {
  /** Where the prefix is in the tensor of queries, keys and values. */
  readonly rows: { count: number; row: number };
  /** What computes it from E, and where; null: it is a parameter. */
  readonly projection: { section: Section; f: Lowering } | null;
  /** [n, L 2 KV HS]. */
  private readonly weight: Tensor;

  /** `count`: n; `source`: that of the list which has the prefix. */
  constructor(
    private readonly common: Common,
    source: Source,
    count: number,
  ) {
    const { derived, parameters, spec } = common;
    this.rows = { count, row: source.rows.capacity };
    const rows = { count, capacity: count };
    this.projection = null;
    const weight = parameters.all.get("prefix.weight");
    if (weight) {
      this.weight = only(weight);
      return;
    }
    const section = projectionOf(spec);
    // What the backward pass reads, and P.
    const outputs = new Set([section.layers[0]!.out, section.output]);
    const f = new Lowering(common, { ...source, rows }, derived.list, outputs);
    f.values.set(section.input!, { tensor: only(parameters.all.get("prefix.embedding")!), rows });
    f.lower(section.layers);
    this.weight = f.tensor(section.output);
    this.projection = { section, f };
  }

  /** Writes the prefix of block l into the rows behind the tokens'. */
  write(qkv: Tensor, l: number): Dispatch {
    return prefixForward(qkv, this.rows.row, this.weight, l, attentionHeads(this.common.spec.config, l));
  }
}

/** The MLP from E to P. */
function projectionOf({ config, encoder_hidden_size: width = 0 }: ModelSpec): Section {
  const value = (part: string, columns: number): Value => ({ name: `prefix.${part}`, columns });
  const [E, fc, hidden] = [value("embedding", config.n_embd), value("fc", width), value("hidden", width)];
  const P = value("proj", keyValueColumns(config));
  return {
    input: E,
    layers: [
      { kind: "linear", name: fc.name, inputs: [E], out: fc },
      { kind: "activate", by: "tanh", inputs: [fc], out: hidden },
      { kind: "linear", name: P.name, inputs: [hidden], out: P },
    ],
    output: P,
  };
}
