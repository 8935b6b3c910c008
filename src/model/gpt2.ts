/**
 * GPT-2 with LoRA as a plan: the forward list and its mirror, the backward list, in llm.c's manner.
 *
 * Letters: N packed tokens, B sequences, C n_embd, NH heads, L layers, V vocabulary, R rank. Two things are saved against
 * the plain order. For a classifier only one row a sequence is needed after the last attention, so everything behind it
 * runs on B rows (`gather`). And the outputs of layer norm and GELU are not kept for the backward pass but made again.
 * A classifier whose lower blocks are frozen can be cut in two: a trunk that runs once an example, and a top that learns.
 */
import { MAX_ACCUMULATE } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { type AdamWConfig, adamw } from "../ops/adamw.ts";
import { attentionBackward, attentionForward } from "../ops/attention.ts";
import { crossentropyBackward, crossentropyForward, crossentropyLoss } from "../ops/crossentropy.ts";
import { embeddingBackward, embeddingForward, embeddingPositionBackward } from "../ops/embedding.ts";
import { gatherBackward, gatherForward } from "../ops/gather.ts";
import { geluBackward, geluForward } from "../ops/gelu.ts";
import { gradnorm, partialsOf } from "../ops/gradnorm.ts";
import { type Dispatch, MAX_GROUPS } from "../ops/kernel.ts";
import { layernormBackward, layernormForward, layernormParametersBackward } from "../ops/layernorm.ts";
import { loraDown, loraDownBackward, loraUp, loraUpBackward } from "../ops/lora.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { residualForward } from "../ops/residual.ts";
import { planMemory } from "../plan/memory.ts";
import type { Program, Segment } from "../plan/plan.ts";
import { type Piece, type Shape, Tensor, VIEW_ALIGN } from "../tensor.ts";
import { type BatchInputs, makeBatchInputs } from "./batch.ts";
import { makeParameters, only, type Parameter, type Parameters } from "./parameters.ts";
import { type ModelSpec, parameterList, scalesOf } from "./trainable.ts";

/** The most that one batch may hold. */
export interface Capacity {
  tokens: number;
  sequences: number;
}

export interface PlanOptions {
  spec: ModelSpec;
  capacity: Capacity;
  /** Largest binding in bytes; larger token tables and logits come in pieces. */
  maxBinding: number;
  /** AdamW's settings; null for a plan that only goes forward. */
  optimizer: AdamWConfig | null;
  /**
   * Half of a model whose frozenBlocks() are not 0, with the parameters of that half alone: the trunk (forward only) is
   * everything below the lowest block that learns, or below the head; the top is the rest. Default: the whole model.
   */
  part?: "trunk" | "top";
  /** Frozen parameters of another plan, to use in place of new ones. */
  lent?: ReadonlyMap<string, Parameter>;
  /** Keeps the embedding, every block's output and the final norm for reading, on all N rows. For tests. */
  keepActivations?: boolean;
}

/** Where a model is cut: the trunk leaves the tensor, the top begins with it. */
export interface Cut {
  /** [N, C], the residual stream before a block, or [B, C], the final norm on the rows that the head classifies. */
  tensor: Tensor;
  rows: "tokens" | "sequences";
}

export interface ModelPlan extends Program {
  spec: ModelSpec;
  capacity: Capacity;
  parameters: Parameters;
  batch: BatchInputs;
  /** [SLOTS, 4]: loss, correct rows, gradient norm, 1 where all is finite. */
  metrics: Tensor;
  /** [1]: not 0 once loss or gradients were not finite. Null where nothing is trained. */
  stopped: Tensor | null;
  /** In a trunk an output, in a top an input; null in a whole model. */
  cut: Cut | null;
  /** Logits in pieces of classes [rows, count], readable after a forward pass where there is one piece. */
  logits: Piece[];
  /** Kept activations by the reference's names: embed, block.N, final_norm. */
  activations: Map<string, Tensor>;
}

/** Rows of `metrics`: batches in flight before the host has read their loss. */
export const SLOTS = MAX_ACCUMULATE;

/** Logits of a language model come in pieces of at most this many bytes. */
const LOGITS_BYTES = 32 << 20;

/** The order in which things learn: a gradient is needed at a stage if a tensor of an earlier stage learns. */
const STAGES = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"] as const;
export type Stage = (typeof STAGES)[number];

/** The adapters beside each matrix, with the column where they write, in units of C. */
export const ADAPTERS: Record<string, readonly (readonly [site: string, column: number])[]> = {
  "attn.c_attn": [
    ["attn.c_attn", 0],
    ["attn.q", 0],
    ["attn.k", 1],
    ["attn.v", 2],
  ],
  "attn.c_proj": [["attn.o", 0]],
  "mlp.c_fc": [["mlp.fc", 0]],
  "mlp.c_proj": [["mlp.proj", 0]],
};

interface Adapter {
  A: Parameter;
  B: Parameter;
  scale: number;
  column: number;
  down: Tensor;
}

/** What the forward pass leaves for the backward pass. */
interface Saved {
  x: Tensor;
  stats1: Tensor;
  qkv: Tensor;
  att: Tensor;
  lse: Tensor;
  /** What c_proj read: the attention output, gathered in the last block of a classifier. */
  picked: Tensor;
  x1: Tensor;
  stats2: Tensor;
  fch: Tensor;
  adapters: Map<Stage, Adapter[]>;
}

export function buildPlan(options: PlanOptions): ModelPlan {
  const { spec, capacity } = options;
  if (spec.task.objective === "classification" && spec.task.num_labels < 2)
    throw new ConfigError("too few classes", { expected: "2 or more", found: String(spec.task.num_labels) });
  if (capacity.tokens > MAX_GROUPS)
    throw new ConfigError("too many tokens for one batch", {
      expected: `at most ${MAX_GROUPS}: several kernels have a workgroup a token`,
      found: String(capacity.tokens),
      hint: "use a smaller --batch-size or --max-length",
    });
  return new Builder(options).build();
}

class Builder {
  private readonly parameters: Parameters;
  private readonly batch: BatchInputs;
  private readonly scales: ReadonlyMap<string, number>;
  private readonly eps: number;
  private readonly C: number;
  private readonly classification: boolean;
  /** By block. */
  private readonly saved = new Map<number, Saved>();
  private readonly activations = new Map<string, Tensor>();
  private readonly list: Record<"forward" | "backward" | "update", Dispatch[]> = {
    forward: [],
    backward: [],
    update: [],
  };
  /** The rows that the lists are working on: N tokens, or B sequences after the gather. */
  private rows: "tokens" | "sequences" = "tokens";
  /** The lowest stage that learns. */
  private readonly lowest: number;
  /** The blocks of this plan: `first` .. `end` - 1. A top without blocks begins at n_layer, with the head. */
  private readonly first: number;
  private readonly end: number;
  /** The name of the tensor at which the model is cut. */
  private readonly cutName: string | null;
  private cut: Cut | null = null;
  private readonly metrics = new Tensor("metrics", [SLOTS, 4], "output");
  private logits: Piece[] = [];

  constructor(private readonly options: PlanOptions) {
    const { spec, capacity, optimizer, maxBinding, part } = options;
    const { n_layer } = spec.config;
    const frozen = part ? frozenBlocks(spec) : 0;
    this.first = part === "top" ? frozen : 0;
    this.end = part === "trunk" ? frozen : n_layer;
    const border = frozen === n_layer ? headStage(spec) : blockStage(frozen);
    this.cutName = part ? (frozen === n_layer ? "final_norm" : `block.${frozen - 1}`) : null;
    const isMine = (name: string) => !part || stageOf(name, spec) < border === (part === "trunk");
    this.parameters = makeParameters(spec, optimizer !== null, maxBinding, isMine, options.lent);
    this.batch = makeBatchInputs(spec, capacity, !!this.parameters.all.get("wte.weight")?.grad);
    this.scales = scalesOf(spec);
    this.eps = spec.config.layer_norm_epsilon;
    this.C = spec.config.n_embd;
    this.classification = spec.task.objective === "classification";
    this.lowest = lowestStage(spec);
  }

  build(): ModelPlan {
    const { spec, capacity, optimizer, part } = this.options;
    const x = this.forward();
    const norm = this.normForward(x);
    const head = part === "trunk" ? null : this.headForward(norm);
    let stopped: Tensor | null = null;
    const segments: Segment[] = [{ name: "forward", clears: [], dispatches: this.list.forward }];
    if (optimizer && head) {
      this.backward(head);
      stopped = new Tensor("stopped", [1], "output", "u32");
      this.update(optimizer, stopped);
      const zero = this.parameters.pages.map(({ grad }) => grad);
      segments.unshift({ name: "zero", clears: zero, dispatches: [] });
      segments.push({ name: "backward", clears: [], dispatches: this.list.backward });
      segments.push({ name: "update", clears: [], dispatches: this.list.update });
    }
    const weights = [...this.parameters.all.values()].flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor));
    return {
      spec,
      capacity,
      segments,
      memory: planMemory(segments, [...weights, this.batch.root]),
      parameters: this.parameters,
      batch: this.batch,
      metrics: this.metrics,
      stopped,
      cut: this.cut,
      logits: this.logits,
      activations: this.activations,
    };
  }

  // ---------------------------------------------------------------------------------------------- forward

  private forward(): Tensor {
    const { spec, keepActivations = false } = this.options;
    const { config } = spec;
    const { batch, C } = this;
    let x = this.stream();
    for (let l = this.first; l < this.end; l++) {
      const p = `h.${l}`;
      const stats1 = this.rowsOf("ln_1.stats", [2]);
      const ln1 = this.layernorm(`${p}.ln_1`, x, stats1);
      const adapters = new Map<Stage, Adapter[]>();
      const qkv = this.linear(l, "attn.c_attn", ln1, 3 * C, adapters);
      let att = this.rowsOf("att", [C]);
      const lse = this.rowsOf("lse", [config.n_head]);
      this.emit("forward", attentionForward(att, lse, qkv, batch.spans, config.n_head));
      const saved: Saved = { x, stats1, qkv, att, lse, picked: att, x1: x, stats2: stats1, fch: x, adapters };
      const last = l === config.n_layer - 1;
      if (last && this.classification && !keepActivations) {
        this.rows = "sequences";
        x = this.gather(x);
        att = this.gather(att);
      }
      saved.picked = att;
      const o = this.linear(l, "attn.c_proj", att, C, adapters);
      saved.x1 = this.rowsOf(`x.${l}.mid`, [C]);
      this.emit("forward", residualForward(saved.x1, x, o, this.rows));
      saved.stats2 = this.rowsOf("ln_2.stats", [2]);
      const ln2 = this.layernorm(`${p}.ln_2`, saved.x1, saved.stats2);
      saved.fch = this.linear(l, "mlp.c_fc", ln2, 4 * C, adapters);
      const fcg = this.gelu(saved.fch, "forward");
      const proj = this.linear(l, "mlp.c_proj", fcg, C, adapters);
      x = this.keep(`block.${l}`, [C]);
      this.emit("forward", residualForward(x, saved.x1, proj, this.rows));
      this.saved.set(l, saved);
    }
    return x;
  }

  /** What the first block reads, or the head of a top without blocks: the embedding, or what the trunk left. */
  private stream(): Tensor {
    const { batch, C } = this;
    if (this.options.part !== "top") {
      const x = this.keep("embed", [C]);
      this.emit("forward", ...embeddingForward(x, this.pieces("wte"), this.w("wpe"), batch.ids, batch.spans));
      return x;
    }
    if (this.first === this.end) this.rows = "sequences";
    this.cut = { tensor: this.rowsOf(this.cutName!, [C], "input"), rows: this.rows };
    return this.cut.tensor;
  }

  private layernorm(name: string, x: Tensor, stats: Tensor): Tensor {
    const out = this.rowsOf(name, [this.C]);
    this.emit("forward", layernormForward(out, stats, x, this.w(name), this.b(name), this.rows, this.eps));
    return out;
  }

  private gelu(fch: Tensor, list: "forward" | "backward"): Tensor {
    const fcg = this.rowsOf("fcg", [4 * this.C]);
    this.emit(list, geluForward(fcg, fch, this.rows));
    return fcg;
  }

  private gather(x: Tensor): Tensor {
    const out = this.rowsOf(`${x.name}.picked`, [this.C]);
    this.emit("forward", gatherForward(out, x, this.batch.rows));
    return out;
  }

  /** y = x W + b, and every adapter beside W. */
  private linear(l: number, stage: Stage, x: Tensor, width: number, adapters: Map<Stage, Adapter[]>): Tensor {
    const name = `h.${l}.${stage}`;
    const y = this.rowsOf(name, [width]);
    const k = x.shape[1]!;
    this.emit("forward", matmul({ out: y, a: x, b: this.w(name), m: this.rows, n: width, k, bias: this.b(name) }));
    const beside: Adapter[] = [];
    for (const [site, column] of ADAPTERS[stage]!) {
      const adapter = this.adapter(`h.${l}.${site}`, column * this.C);
      if (!adapter) continue;
      const { A, B, down, scale } = adapter;
      this.emit(
        "forward",
        loraDown(down, x, only(A), this.rows),
        loraUp(y, down, only(B), this.rows, scale, { width, column: adapter.column }),
      );
      beside.push(adapter);
    }
    adapters.set(stage, beside);
    return y;
  }

  /** The adapter at a site, with a tensor for x A^T; null where there is none. */
  private adapter(site: string, column: number): Adapter | null {
    const A = this.parameters.all.get(`lora.${site}.A`);
    const B = this.parameters.all.get(`lora.${site}.B`);
    if (!A || !B) return null;
    const down = this.rowsOf(`lora.${site}.down`, [A.shape[0]!]);
    return { A, B, scale: this.scales.get(site)!, column, down };
  }

  /** The final norm on the rows that are classified; nothing where it is not in this part of the model. */
  private normForward(x: Tensor): Norm {
    const wide = this.rows;
    if (!this.parameters.all.has("ln_f.weight")) return { x, stats: null, out: x, wide };
    const stats = this.rowsOf("ln_f.stats", [2]);
    const inp = this.keep("final_norm", [this.C]);
    this.emit("forward", layernormForward(inp, stats, x, this.w("ln_f"), this.b("ln_f"), wide, this.eps));
    if (!this.classification || wide === "sequences") return { x, stats, out: inp, wide };
    this.rows = "sequences";
    return { x, stats, out: this.gather(inp), wide };
  }

  /** Logits and loss; the logits of a language model in pieces of the vocabulary. */
  private headForward(norm: Norm): Head {
    const { out } = norm;
    const head: Head = {
      ...norm,
      state: this.rowsOf("loss.state", [4]),
      adapter: this.adapter("head", 0),
      pieces: this.headPieces(),
    };
    if (head.adapter) this.emit("forward", loraDown(head.adapter.down, out, only(head.adapter.A), this.rows));
    for (const piece of head.pieces) {
      this.logitsOf(head, piece, piece.logits, "forward");
      this.emit("forward", crossentropyForward(head.state, piece.logits, this.batch.targets, this.rows, piece.first));
    }
    this.emit("forward", crossentropyLoss(this.metrics, head.state, this.batch.targets, this.rows));
    this.logits = head.pieces.map(({ logits, first }) => ({ tensor: logits, first }));
    return head;
  }

  private headPieces(): HeadPiece[] {
    const name = this.classification ? "head.weight" : "wte.weight";
    const weight = this.parameters.all.get(name)!;
    const rowCapacity = this.options.capacity[this.rows];
    const most = Math.min(this.options.maxBinding, LOGITS_BYTES) / 4 / rowCapacity;
    const count = Math.max(VIEW_ALIGN, Math.floor(most / VIEW_ALIGN) * VIEW_ALIGN);
    const pieces = weight.pieces.flatMap((piece, i) => {
      const total = piece.tensor.shape[0]!;
      return Array.from({ length: Math.ceil(total / count) }, (_, j) => ({
        offset: j * count,
        rows: Math.min(count, total - j * count),
        weight: piece,
        grad: weight.grad?.[i] ?? null,
      }));
    });
    const single = pieces.length === 1;
    return pieces.map(({ offset, rows, weight: { tensor, first }, grad }) => {
      const cut = (whole: Tensor) => whole.view(`${whole.name}+${offset}`, [rows, this.C], offset * this.C);
      return {
        first: first + offset,
        weight: cut(tensor),
        grad: grad && cut(grad.tensor),
        logits: this.rowsOf("logits", [rows], single ? "output" : "activation"),
      };
    });
  }

  private logitsOf(head: Head, piece: HeadPiece, logits: Tensor, list: "forward" | "backward"): void {
    const n = piece.weight.shape[0]!;
    const bias = this.classification ? this.parameters.all.get("head.bias") : undefined;
    this.emit(
      list,
      matmul({
        out: logits,
        a: head.out,
        b: piece.weight,
        transB: true,
        m: this.rows,
        n,
        k: this.C,
        ...(bias ? { bias: only(bias) } : {}),
      }),
    );
    if (head.adapter)
      this.emit(
        list,
        loraUp(logits, head.adapter.down, rowsFrom(head.adapter.B.pieces, piece), this.rows, head.adapter.scale, {
          width: n,
          column: 0,
        }),
      );
  }

  // --------------------------------------------------------------------------------------------- backward

  private backward(head: Head): void {
    const { config } = this.options.spec;
    let dx = this.headBackward(head);
    for (let l = config.n_layer - 1; l >= this.first && dx; l--) dx = this.blockBackward(l, dx);
    if (!dx) return;
    const wte = this.parameters.all.get("wte.weight")!;
    const wpe = this.parameters.all.get("wpe.weight")!;
    const { ids, byId, starts } = this.batch;
    if (wte.grad && byId) this.emit("backward", ...embeddingBackward(wte.grad, dx, ids, byId.sorted, byId.groups));
    if (wpe.grad) this.emit("backward", embeddingPositionBackward(wpe.grad[0]!.tensor, dx, starts));
  }

  /** Gradients of the head and the final norm; returns the gradient of the last block's output, or null. */
  private headBackward(head: Head): Tensor | null {
    const below = this.lowest < headStage(this.options.spec);
    const { adapter, out } = head;
    const bias = this.classification ? this.parameters.all.get("head.bias")?.grad : undefined;
    const dout = below ? this.rowsOf("dhead", [this.C]) : null;
    const ddown = adapter?.A.grad ? this.rowsOf("dhead.down", [adapter.A.shape[0]!]) : null;
    for (const [i, piece] of head.pieces.entries()) {
      const beta = i === 0 ? 0 : 1;
      const n = piece.weight.shape[0]!;
      let { logits } = piece;
      if (head.pieces.length > 1) {
        // Made again in a tensor of its own: the forward pass's would live until here, all pieces at once.
        logits = this.rowsOf("logits", [n]);
        this.logitsOf(head, piece, logits, "backward");
      }
      const dlogits = this.rowsOf("dlogits", [n]);
      const { targets } = this.batch;
      this.emit("backward", crossentropyBackward(dlogits, logits, head.state, targets, this.rows, piece.first));
      if (piece.grad)
        this.emit(
          "backward",
          matmul({ out: piece.grad, a: dlogits, b: out, transA: true, m: n, n: this.C, k: this.rows, lda: n, beta: 1 }),
        );
      if (bias) this.emit("backward", matmulBiasBackward(bias[0]!.tensor, dlogits, this.rows, n));
      if (dout)
        this.emit("backward", matmul({ out: dout, a: dlogits, b: piece.weight, m: this.rows, n: this.C, k: n, beta }));
      if (adapter && ddown) {
        const B = rowsFrom(adapter.B.pieces, piece);
        const dB = rowsFrom(adapter.B.grad!, piece);
        const at = { width: n, column: 0 };
        this.emit(
          "backward",
          ...loraUpBackward(dB, ddown, dlogits, adapter.down, B, this.rows, adapter.scale, at, beta),
        );
      }
    }
    if (adapter && ddown)
      this.emit("backward", ...loraDownBackward(only(adapter.A.grad!), dout, ddown, out, only(adapter.A), this.rows));
    const { x, stats, wide } = head;
    if (!dout || !stats) return null;
    const dnorm = this.scatter(dout, wide);
    this.layernormParameters("ln_f", dnorm, x, stats);
    if (this.lowest >= headStage(this.options.spec) - 1) return null;
    const dx = this.rowsOf("dresidual", [this.C]);
    this.emit("backward", layernormBackward(dx, dnorm, x, stats, this.w("ln_f"), this.rows, 0));
    return dx;
  }

  /** Gradients of block l from dx, that of its output; returns the gradient of its input, or null where none is needed. */
  private blockBackward(l: number, dxOut: Tensor): Tensor | null {
    const { config } = this.options.spec;
    const { C, batch } = this;
    const s = this.saved.get(l)!;
    const p = `h.${l}`;
    let dx = dxOut;
    const remakeNorm = (name: string, x: Tensor, stats: Tensor) => () => {
      const out = this.rowsOf(name, [C]);
      // The statistics are written again with the same values: one kernel, and no second one without them.
      this.emit("backward", layernormForward(out, stats, x, this.w(name), this.b(name), this.rows, this.eps));
      return out;
    };
    // mlp: x2 = x1 + proj(gelu(fc(ln_2(x1))))
    const dfcg = this.linearBackward(l, "mlp.c_proj", dx, () => this.gelu(s.fch, "backward"), 4 * C, s);
    if (dfcg) {
      this.emit("backward", geluBackward(dfcg, s.fch, this.rows));
      const dln2 = this.linearBackward(l, "mlp.c_fc", dfcg, remakeNorm(`${p}.ln_2`, s.x1, s.stats2), C, s);
      if (dln2) {
        this.layernormParameters(`${p}.ln_2`, dln2, s.x1, s.stats2);
        if (this.below(l, "ln_2"))
          this.emit("backward", layernormBackward(dx, dln2, s.x1, s.stats2, this.w(`${p}.ln_2`), this.rows, 1));
      }
    }
    if (!this.below(l, "ln_2")) return null;
    // attention: x1 = x + c_proj(attention(c_attn(ln_1(x))))
    let datt = this.linearBackward(l, "attn.c_proj", dx, () => s.picked, C, s);
    if (!datt) return null;
    if (this.rows === "sequences") {
      datt = this.scatter(datt, "tokens");
      if (this.below(l, "ln_1")) {
        this.rows = "sequences";
        dx = this.scatter(dx, "tokens");
      }
    }
    const dqkv = this.rowsOf("dqkv", [3 * C]);
    const delta = this.rowsOf("delta", [config.n_head]);
    this.emit("backward", ...attentionBackward(dqkv, delta, datt, s.att, s.lse, s.qkv, batch.spans, config.n_head));
    const dln1 = this.linearBackward(l, "attn.c_attn", dqkv, remakeNorm(`${p}.ln_1`, s.x, s.stats1), C, s);
    if (!dln1) return null;
    this.layernormParameters(`${p}.ln_1`, dln1, s.x, s.stats1);
    if (!this.below(l, "ln_1")) return null;
    this.emit("backward", layernormBackward(dx, dln1, s.x, s.stats1, this.w(`${p}.ln_1`), this.rows, 1));
    return dx;
  }

  /**
   * The gradients of one matrix, its bias and its adapters from dy; returns the gradient of x [rows, k], or null where
   * nothing earlier learns. `input` gives x, made again where it was not kept, and is called only where x is needed.
   */
  private linearBackward(
    l: number,
    stage: Stage,
    dy: Tensor,
    input: () => Tensor,
    k: number,
    { adapters }: Saved,
  ): Tensor | null {
    const name = `h.${l}.${stage}`;
    const weight = this.parameters.all.get(`${name}.weight`)!;
    const bias = this.parameters.all.get(`${name}.bias`)!;
    const beside = adapters.get(stage)!.filter(({ A }) => A.grad);
    const width = dy.shape[1]!;
    const { rows } = this;
    const x = weight.grad || beside.length > 0 ? input() : null;
    if (weight.grad && x)
      this.emit(
        "backward",
        matmul({ out: only(weight.grad), a: x, b: dy, transA: true, m: k, n: width, k: rows, lda: k, beta: 1 }),
      );
    if (bias.grad) this.emit("backward", matmulBiasBackward(only(bias.grad), dy, rows, width));
    let dx: Tensor | null = null;
    if (this.below(l, stage)) {
      dx = this.rowsOf(`d${name}.input`, [k]);
      this.emit("backward", matmul({ out: dx, a: dy, b: only(weight), transB: true, m: rows, n: k, k: width }));
    }
    for (const { A, B, scale, column, down } of beside) {
      const ddown = this.rowsOf("ddown", [A.shape[0]!]);
      const at = { width, column };
      this.emit(
        "backward",
        ...loraUpBackward(only(B.grad!), ddown, dy, down, only(B), rows, scale, at),
        ...loraDownBackward(only(A.grad!), dx, ddown, x!, only(A), rows),
      );
    }
    return dx;
  }

  private layernormParameters(name: string, dout: Tensor, inp: Tensor, stats: Tensor): void {
    const weight = this.parameters.all.get(`${name}.weight`)!;
    const bias = this.parameters.all.get(`${name}.bias`)!;
    if (weight.grad && bias.grad)
      this.emit(
        "backward",
        layernormParametersBackward(only(weight.grad), only(bias.grad), dout, inp, stats, this.rows),
      );
  }

  /** From B rows back to N, the others 0, where the forward pass gathered. */
  private scatter(dout: Tensor, wide: "tokens" | "sequences"): Tensor {
    if (this.rows === wide) return dout;
    this.rows = wide;
    const dinp = this.rowsOf(`${dout.name}.all`, [this.C]);
    this.emit("backward", gatherBackward(dinp, dout, this.batch.picked));
    return dinp;
  }

  // ----------------------------------------------------------------------------------------------- update

  private update(optimizer: AdamWConfig, stopped: Tensor): void {
    const { pages } = this.parameters;
    const gradients = pages.map(({ grad }) => grad);
    const partial = new Tensor(
      "norm.partial",
      [gradients.reduce((sum, grad) => sum + partialsOf(grad), 0)],
      "activation",
    );
    this.emit("update", ...gradnorm(this.metrics, stopped, partial, gradients));
    for (const page of pages) this.emit("update", adamw(page, this.metrics, stopped, optimizer));
  }

  // ---------------------------------------------------------------------------------------------- helpers

  private emit(list: "forward" | "backward" | "update", ...dispatches: Dispatch[]): void {
    this.list[list].push(...dispatches);
  }

  /** A new activation with as many rows as the lists are working on. */
  private rowsOf(name: string, shape: Shape, role: "activation" | "output" | "input" = "activation"): Tensor {
    return new Tensor(name, [this.options.capacity[this.rows], ...shape], role);
  }

  private keep(name: string, shape: Shape): Tensor {
    const isCut = name === this.cutName;
    if (!isCut && !this.options.keepActivations) return this.rowsOf(name, shape);
    const tensor = this.rowsOf(name, shape, "output");
    if (isCut) this.cut = { tensor, rows: this.rows };
    else this.activations.set(name, tensor);
    return tensor;
  }

  private pieces(name: string): Piece[] {
    return this.parameters.all.get(`${name}.weight`)!.pieces;
  }

  private w(name: string): Tensor {
    return only(this.parameters.all.get(`${name}.weight`)!);
  }

  private b(name: string): Tensor {
    return only(this.parameters.all.get(`${name}.bias`)!);
  }

  /** Whether a tensor before this stage learns, so that the gradient of the stage's input is needed. */
  private below(l: number, stage: Stage): boolean {
    return this.lowest < blockStage(l) + STAGES.indexOf(stage);
  }
}

interface HeadPiece {
  /** The first class of the piece. */
  first: number;
  weight: Tensor;
  grad: Tensor | null;
  logits: Tensor;
}

interface Norm {
  x: Tensor;
  /** Null where the trunk has the norm. */
  stats: Tensor | null;
  /** The norm's output on the rows that are classified. */
  out: Tensor;
  /** The rows that the norm ran on. */
  wide: "tokens" | "sequences";
}

interface Head extends Norm {
  state: Tensor;
  adapter: Adapter | null;
  pieces: HeadPiece[];
}

/** The rows of an adapter's B that belong to a piece of the vocabulary. */
function rowsFrom(pieces: Piece[], { first, weight }: HeadPiece): Tensor {
  const whole = pieces[0]!.tensor;
  const r = whole.shape[1]!;
  return whole.view(`${whole.name}+${first}`, [weight.shape[0]!, r], first * r);
}

/** The first stage of block l; that of block n_layer is ln_f. */
const blockStage = (l: number) => 1 + l * STAGES.length;

const headStage = ({ config }: ModelSpec) => blockStage(config.n_layer) + 1;

/** The lowest stage in which something learns. */
function lowestStage(spec: ModelSpec): number {
  const learning = parameterList(spec).filter(({ learns }) => learns);
  return Math.min(...learning.map(({ name }) => stageOf(name, spec)));
}

/**
 * Number of blocks below the lowest thing that learns, all frozen: n_layer where nothing but the head of a classifier
 * learns. 0 for a language model: its head is its embedding.
 */
export function frozenBlocks(spec: ModelSpec): number {
  if (spec.task.objective === "lm") return 0;
  const { n_layer } = spec.config;
  const lowest = lowestStage(spec);
  if (lowest >= headStage(spec)) return n_layer;
  return Math.max(0, Math.min(n_layer - 1, Math.floor((lowest - 1) / STAGES.length)));
}

/** The stage of a parameter in the order of the forward pass: 0 the embedding, then six a block, ln_f, the head. */
function stageOf(name: string, { config }: ModelSpec): number {
  const top = blockStage(config.n_layer);
  const site = name.replace(/^lora\./, "");
  if (site.startsWith("wte.") || site.startsWith("wpe.")) return 0;
  if (site.startsWith("ln_f.")) return top;
  if (site.startsWith("head")) return top + 1;
  const [, block, rest] = /^h\.(\d+)\.(.*)$/.exec(site)!;
  const stage = STAGES.findIndex(
    (s) => rest!.startsWith(`${s}.`) || ADAPTERS[s]?.some(([adapter]) => rest!.startsWith(`${adapter}.`)),
  );
  return blockStage(Number(block)) + stage;
}
