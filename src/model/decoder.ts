/**
 * GPT-2 that writes, as a plan: forward only, with keys and values of every sequence kept in a cache. Four lists share the
 * weights and the cache. `prefill` takes in any number of tokens of several sequences, up to the last attention; behind it
 * `next` makes the logits of each sequence's last token, or `score` the loss of every token. `decode` takes in one token a
 * sequence and makes its logits.
 *
 * Letters: S slots (sequences in the cache), N tokens of a prefill, T positions, C n_embd, V vocabulary.
 */
import { ConfigError } from "../errors.ts";
import { attentionCached } from "../ops/attention.ts";
import { cacheShape, cacheWrite } from "../ops/cache.ts";
import { crossentropyForward } from "../ops/crossentropy.ts";
import { embeddingForward } from "../ops/embedding.ts";
import { gatherForward } from "../ops/gather.ts";
import { geluForward } from "../ops/gelu.ts";
import { type Dispatch, MAX_GROUPS } from "../ops/kernel.ts";
import { layernormForward } from "../ops/layernorm.ts";
import { loraDown, loraUp } from "../ops/lora.ts";
import { matmul } from "../ops/matmul.ts";
import { residualForward } from "../ops/residual.ts";
import { planMemory } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { type Shape, Tensor, VIEW_ALIGN } from "../tensor.ts";
import { inputViews } from "./batch.ts";
import { ADAPTERS, type Capacity, type Stage } from "./gpt2.ts";
import { makeParameters, only, type Parameter, type Parameters } from "./parameters.ts";
import { type ModelSpec, scalesOf } from "./trainable.ts";

export interface DecoderOptions {
  /** Of a language model. */
  spec: ModelSpec;
  /** Tokens of a prefill, and slots of the cache. */
  capacity: Capacity;
  /** Largest binding in bytes; a larger token table comes in pieces. */
  maxBinding: number;
  /** Frozen parameters of another plan, to use in place of new ones. */
  lent?: ReadonlyMap<string, Parameter>;
}

/** What a step writes: views of one buffer. */
export interface DecoderInputs {
  root: Tensor;
  ids: Tensor;
  /**
   * [N, 2]: from which row on the token's sequence would begin if all of it were in the batch, and its end. Without those
   * that are in the cache already, that can be below 0: the numbers wrap, as does the subtraction that uses them.
   */
  spans: Tensor;
  /** [N, 2]: the token's slot and its position in it. */
  places: Tensor;
  /** [S]: the rows whose logits are made after a prefill. */
  rows: Tensor;
  targets: Tensor;
}

export interface DecoderPlan extends Program {
  spec: ModelSpec;
  capacity: Capacity;
  parameters: Parameters;
  inputs: DecoderInputs;
  /** [S, V]: logits of the last `next` or `decode`. */
  logits: Tensor;
  /** [N, 4]: largest logit, sum of exp(logit - largest), logit of the target: of the last `score`. */
  losses: Tensor;
}

/** Logits of a prefill whose tokens are all scored come in pieces of at most this many bytes. */
const LOGITS_BYTES = 16 << 20;

export function buildDecoder(options: DecoderOptions): DecoderPlan {
  const { spec, capacity } = options;
  if (spec.task.objective !== "lm") throw new ConfigError("a classifier writes no text", { expected: "objective lm" });
  if (capacity.tokens > MAX_GROUPS || capacity.sequences > capacity.tokens)
    throw new ConfigError("a decoder of this capacity makes no sense", {
      expected: `at most ${MAX_GROUPS} tokens, and no more sequences than tokens`,
      found: `${capacity.tokens} tokens, ${capacity.sequences} sequences`,
    });
  return new Builder(options).build();
}

/** What a row of a list is: a token, or the one token that a sequence takes in. */
type Rows = "tokens" | "slots";

/** The residual stream before the last block's attention, and what its attention made. */
interface Through {
  x: Tensor;
  att: Tensor;
}

class Builder {
  private readonly parameters: Parameters;
  private readonly scales: ReadonlyMap<string, number>;
  private readonly inputs: DecoderInputs;
  private readonly caches: Tensor[];
  private readonly logits: Tensor;
  private readonly losses: Tensor;
  private readonly segments: Segment[] = [];
  private list: Dispatch[] = [];
  /** The rows that the list at hand works on. */
  private rows: Rows = "tokens";
  private readonly C: number;

  constructor(private readonly options: DecoderOptions) {
    const { spec, capacity, maxBinding } = options;
    const { n_embd, n_head, n_layer, n_positions, vocab_size } = spec.config;
    this.C = n_embd;
    this.parameters = makeParameters(spec, false, maxBinding, () => true, options.lent);
    this.scales = scalesOf(spec);
    const { tokens, sequences } = capacity;
    this.inputs = inputViews({
      ids: [tokens],
      spans: [tokens, 2],
      places: [tokens, 2],
      rows: [sequences],
      targets: [tokens],
    });
    const shape = cacheShape(capacity.sequences, n_head, n_positions, n_embd / n_head);
    this.caches = Array.from({ length: n_layer }, (_, l) => new Tensor(`cache.${l}`, shape, "cache"));
    this.logits = new Tensor("logits", [capacity.sequences, vocab_size], "output");
    this.losses = new Tensor("losses", [capacity.tokens, 4], "output");
  }

  build(): DecoderPlan {
    const { spec, capacity } = this.options;
    const { inputs, parameters, logits, losses } = this;
    const all = this.record("prefill", "tokens", () => this.blocks());
    this.record("next", "slots", () => this.head(this.last({ x: this.gather(all.x), att: this.gather(all.att) })));
    this.record("score", "tokens", () => this.score(this.last(all)));
    this.record("decode", "slots", () => this.head(this.last(this.blocks())));
    const weights = [...parameters.all.values()].flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor));
    const memory = planMemory(this.segments, [...weights, inputs.root]);
    return { spec, capacity, segments: this.segments, memory, parameters, inputs, logits, losses };
  }

  private record<T>(name: Segment["name"], rows: Rows, body: () => T): T {
    this.rows = rows;
    this.list = [];
    this.segments.push({ name, clears: [], dispatches: this.list });
    return body();
  }

  /** The embedding and all blocks, the last one up to its attention. */
  private blocks(): Through {
    // A decode takes in one token a sequence: only so many rows of them.
    const rows = this.capacity;
    const part = (t: Tensor) => t.view(t.name, [rows, ...t.shape.slice(1)], 0);
    const [ids, spans, places] = [part(this.inputs.ids), part(this.inputs.spans), part(this.inputs.places)];
    let x = this.rowsOf("embed", [this.C]);
    this.list.push(...embeddingForward(x, this.parameter("wte.weight").pieces, this.tensor("wpe.weight"), ids, spans));
    for (let l = 0; ; l++) {
      const qkv = this.linear(l, "attn.c_attn", this.layernorm(`h.${l}.ln_1`, x), 3 * this.C);
      const att = this.rowsOf("att", [this.C]);
      const cache = this.caches[l]!;
      this.list.push(cacheWrite(cache, qkv, places), attentionCached(att, qkv, cache, places));
      if (l === this.caches.length - 1) return { x, att };
      x = this.behindAttention(l, { x, att });
    }
  }

  /** The rest of the last block, and the final norm. */
  private last(through: Through): Tensor {
    return this.layernorm("ln_f", this.behindAttention(this.caches.length - 1, through));
  }

  private behindAttention(l: number, { x, att }: Through): Tensor {
    const { C } = this;
    const x1 = this.add(`x.${l}.mid`, x, this.linear(l, "attn.c_proj", att, C));
    const fch = this.linear(l, "mlp.c_fc", this.layernorm(`h.${l}.ln_2`, x1), 4 * C);
    const fcg = this.rowsOf("fcg", [4 * C]);
    this.list.push(geluForward(fcg, fch, this.rows));
    return this.add(`block.${l}`, x1, this.linear(l, "mlp.c_proj", fcg, C));
  }

  /** Logits [S, V] from the final norm [S, C], by the pieces of the token table. */
  private head(norm: Tensor): void {
    const V = this.logits.shape[1]!;
    const down = this.headDown(norm);
    for (const { tensor, first } of this.parameter("wte.weight").pieces)
      this.logitsOf(this.logits, norm, down, tensor, first, { width: V, column: first });
  }

  /** Losses [N, 4] from the final norm [N, C], by pieces of the vocabulary. */
  private score(norm: Tensor): void {
    const down = this.headDown(norm);
    const most = Math.min(this.options.maxBinding, LOGITS_BYTES) / 4 / this.options.capacity.tokens;
    const count = Math.max(VIEW_ALIGN, Math.floor(most / VIEW_ALIGN) * VIEW_ALIGN);
    for (const { tensor, first } of this.parameter("wte.weight").pieces)
      for (let row = 0; row < tensor.shape[0]!; row += count) {
        const rows = Math.min(count, tensor.shape[0]! - row);
        const weight = tensor.view(`${tensor.name}+${row}`, [rows, this.C], row * this.C);
        const logits = this.rowsOf("logits", [rows]);
        this.logitsOf(logits, norm, down, weight, first + row, { width: rows, column: 0 });
        this.list.push(crossentropyForward(this.losses, logits, this.inputs.targets, this.rows, first + row));
      }
  }

  private headDown(norm: Tensor): Tensor | null {
    const A = this.parameters.all.get("lora.head.A");
    return A ? this.down("head", norm, only(A)) : null;
  }

  /** Logits of the classes from `first` on, whose rows of the token table are `weight`. */
  private logitsOf(
    out: Tensor,
    norm: Tensor,
    down: Tensor | null,
    weight: Tensor,
    first: number,
    at: { width: number; column: number },
  ): void {
    const [n, k] = weight.shape as [number, number];
    const place = { ldc: at.width, outOffset: at.column };
    this.list.push(matmul({ out, a: norm, b: weight, transB: true, m: this.rows, n, k, ...place }));
    if (!down) return;
    const r = down.shape[1]!;
    const B = this.tensor("lora.head.B").view(`lora.head.B+${first}`, [n, r], first * r);
    this.list.push(loraUp(out, down, B, this.rows, this.scales.get("head")!, at));
  }

  /** y = x W + b, and every adapter beside W. */
  private linear(l: number, stage: Stage, x: Tensor, width: number): Tensor {
    const name = `h.${l}.${stage}`;
    const y = this.rowsOf(name, [width]);
    const [b, bias] = [this.tensor(`${name}.weight`), this.tensor(`${name}.bias`)];
    this.list.push(matmul({ out: y, a: x, b, m: this.rows, n: width, k: x.shape[1]!, bias }));
    for (const [adapter, column] of ADAPTERS[stage]!) {
      const site = `h.${l}.${adapter}`;
      const A = this.parameters.all.get(`lora.${site}.A`);
      if (!A) continue;
      const B = this.tensor(`lora.${site}.B`);
      const at = { width, column: column * this.C };
      this.list.push(loraUp(y, this.down(site, x, only(A)), B, this.rows, this.scales.get(site)!, at));
    }
    return y;
  }

  private down(site: string, x: Tensor, A: Tensor): Tensor {
    const down = this.rowsOf(`lora.${site}.down`, [A.shape[0]!]);
    this.list.push(loraDown(down, x, A, this.rows));
    return down;
  }

  private layernorm(name: string, x: Tensor): Tensor {
    const out = this.rowsOf(name, [this.C]);
    const stats = this.rowsOf(`${name}.stats`, [2]);
    const [weight, bias] = [this.tensor(`${name}.weight`), this.tensor(`${name}.bias`)];
    const { layer_norm_epsilon } = this.options.spec.config;
    this.list.push(layernormForward(out, stats, x, weight, bias, this.rows, layer_norm_epsilon));
    return out;
  }

  private add(name: string, a: Tensor, b: Tensor): Tensor {
    const out = this.rowsOf(name, [this.C]);
    this.list.push(residualForward(out, a, b, this.rows));
    return out;
  }

  private gather(x: Tensor): Tensor {
    const out = this.rowsOf(`${x.name}.picked`, [this.C]);
    this.list.push(gatherForward(out, x, this.inputs.rows));
    return out;
  }

  /** The most rows that the list at hand can have. */
  private get capacity(): number {
    const { tokens, sequences } = this.options.capacity;
    return this.rows === "tokens" ? tokens : sequences;
  }

  private rowsOf(name: string, shape: Shape): Tensor {
    return new Tensor(name, [this.capacity, ...shape], "activation");
  }

  private parameter(name: string): Parameter {
    return this.parameters.all.get(name)!;
  }

  private tensor(name: string): Tensor {
    return only(this.parameter(name));
  }
}
