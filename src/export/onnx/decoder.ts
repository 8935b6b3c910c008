/**
 * The forward pass of a model as a graph of ONNX's standard operators: layer by layer of its own graph, with the names
 * of its values. Unlike a packed batch, it has padded rows, as
 * transformers has them: what `attention_mask` marks with 0 is no part of a text, on either side of it.
 *
 * Letters: B texts, P positions in the cache, T new tokens, S = P + T, C n_embd, NH heads in KV groups of G, HS head
 * size, V vocabulary.
 */
import { attentionScale, type ModelConfig } from "../../core/config.ts";
import { architecture } from "../../model/architectures.ts";
import { type Layer, modelSections, type Value } from "../../model/graph.ts";
import { ropeTable } from "../../model/rope-table.ts";
import type { ActivationName } from "../../ops/activation.ts";
import { hasHead, isMean, type TaskConfig } from "../../tasks/index.ts";
import type { Graph } from "./graph.ts";
import { DATA_TYPE } from "./protobuf.ts";

const ACTIVATION = {
  gelu_new: ["Gelu", { approximate: "tanh" }],
  gelu: ["Gelu", {}],
  relu: ["Relu", {}],
} as const satisfies Record<ActivationName, unknown>;

/** x [.., in] W + b of a matrix [in, out]. */
export function linear(graph: Graph, name: string, x: string): string {
  const product = [x, graph.weight(`${name}.weight`, "matrix")];
  if (!graph.has(`${name}.bias`)) return graph.add(name, "MatMul", product);
  return graph.add(name, "Add", [graph.add(`${name}.product`, "MatMul", product), graph.weight(`${name}.bias`)]);
}

export function norm(graph: Graph, name: string, x: string, { layer_norm_epsilon: epsilon }: ModelConfig): string {
  const weight = graph.weight(`${name}.weight`);
  if (graph.has(`${name}.bias`))
    return graph.add(name, "LayerNormalization", [x, weight, graph.weight(`${name}.bias`)], { axis: -1n, epsilon });
  const squares = graph.add(`${name}.squares`, "Pow", [x, graph.float(2)]);
  const mean = graph.add(`${name}.mean`, "ReduceMean", [squares, graph.ints(-1)]);
  const root = graph.add(`${name}.root`, "Sqrt", [graph.add(`${name}.sum`, "Add", [mean, graph.float(epsilon)])]);
  return graph.add(name, "Mul", [graph.add(`${name}.normed`, "Div", [x, root]), weight]);
}

export function activate(graph: Graph, name: string, x: string, by: ActivationName): string {
  const [op, attributes] = ACTIVATION[by];
  return graph.add(name, op, [x], attributes);
}

/** silu(a) * b for the halves a and b of x [.., 2 width]. */
export function gate(graph: Graph, name: string, x: string, width: number): string {
  const [a, b] = halves(graph, [`${name}.gate`, `${name}.up`], x, width);
  const silu = graph.add(`${name}.silu`, "Mul", [a, graph.add(`${name}.sigmoid`, "Sigmoid", [a])]);
  return graph.add(name, "Mul", [silu, b]);
}

/** Takes cosines and sines [B, T, 1, dims / 2] of the positions from a table [positions, dims]. */
function addAngles(graph: Graph, table: Float32Array, positions: string, dims: number): void {
  const rows = graph.table("rope.table", table.length / dims, table);
  const angles = graph.add("rope.angles", "Gather", [rows, positions]);
  halves(graph, ["rope.cos", "rope.sin"], graph.add("rope", "Unsqueeze", [angles, graph.ints(2)]), dims / 2);
}

/**
 * Heads [B, T, heads, HS] whose first `dims` numbers are turned by the angles: (a, b) becomes (a cos - b sin, b cos + a
 * sin) for the halves of these.
 */
export function turn(graph: Graph, name: string, heads: string, headSize: number, dims: number): string {
  const sizes = [dims / 2, dims / 2, ...(dims < headSize ? [headSize - dims] : [])];
  const parts = ["a", "b", "rest"].slice(0, sizes.length).map((part) => `${name}.${part}`);
  const [a, b, ...rest] = graph.addAll(parts, "Split", [heads, graph.ints(...sizes)], { axis: -1n }) as [
    string,
    string,
  ];
  const by = (list: string, factor: "cos" | "sin") => graph.add(`${list}.${factor}`, "Mul", [list, `rope.${factor}`]);
  const first = graph.add(`${name}.first`, "Sub", [by(a, "cos"), by(b, "sin")]);
  const second = graph.add(`${name}.second`, "Add", [by(b, "cos"), by(a, "sin")]);
  return graph.add(`${name}.turned`, "Concat", [first, second, ...rest], { axis: -1n });
}

/** Splits a value in two halves along its last axis. */
function halves(graph: Graph, names: readonly [string, string], list: string, width: number) {
  return graph.addAll(names, "Split", [list, graph.ints(width, width)], { axis: -1n });
}

/** The largest index, for a slice up to the end. */
const END = Number.MAX_SAFE_INTEGER;
/** Added to the score of a position that is not seen: as transformers, the smallest float. */
const UNSEEN = -3.4028234663852886e38;

export function addDecoder(graph: Graph, config: ModelConfig, task: TaskConfig): void {
  new Decoder(graph, config, task).add();
}

class Decoder {
  private readonly values = new Map<Value, string>();
  /** Added to the scores of attention: see findSeen. */
  private seen = "";
  /** Whether it has logits of next tokens, with a cache. */
  private readonly writes: boolean;
  private readonly heads: { KV: number; G: number; HS: number };
  private readonly ids: string;
  private readonly mask: string;
  /** The number of new tokens [1], and their positions [B, T]. */
  private readonly count: string;
  private readonly positions: string;

  constructor(
    private readonly graph: Graph,
    private readonly config: ModelConfig,
    private readonly task: TaskConfig,
  ) {
    const { n_embd, n_head, n_kv_head = n_head } = config;
    this.writes = !hasHead(task);
    this.heads = { KV: n_kv_head, G: n_head / n_kv_head, HS: n_embd / n_head };
    const all = this.writes ? "total_sequence_length" : "sequence_length";
    this.ids = graph.input("input_ids", DATA_TYPE.INT64, ["batch_size", "sequence_length"]);
    this.mask = graph.input("attention_mask", DATA_TYPE.INT64, ["batch_size", all]);
    this.count = graph.add("count", "Shape", [this.ids], { start: 1n, end: 2n });
    this.positions = this.countPositions();
  }

  add(): void {
    const { config } = this;
    this.seen = this.findSeen();
    const sections = modelSections(config, architecture(config).block);
    // The final norm is only over the rows that are needed.
    for (const layer of sections.slice(0, -1).flatMap(({ layers }) => layers))
      this.values.set(layer.out, this.layer(layer));
    const x = this.values.get(sections.at(-2)!.output)!;
    if (this.writes) this.lmHead(x);
    else this.classifierHead(x);
  }

  /** Adds a layer. Returns the name of its output. */
  private layer(one: Layer): string {
    const { graph } = this;
    const [x, y] = one.inputs.map((value) => this.values.get(value)!) as [string, string?];
    const { name } = one.out;
    switch (one.kind) {
      case "embed":
        return this.embed(name);
      case "norm":
        return norm(graph, one.name, x, this.config);
      case "linear":
        return linear(graph, one.name, x);
      case "rotate":
        // Turned where the heads are apart: in `attention`.
        return x;
      case "attention":
        return this.attention(one.block, x);
      case "activate":
        return activate(graph, name, x, one.by);
      case "gate":
        return gate(graph, name, x, one.out.columns);
      case "add":
        return graph.add(name, "Add", [x, y!]);
      default:
        throw new Error(`a model has no layer ${one.kind} of its own`);
    }
  }

  /** The residual stream [B, T, C] of the tokens; where positions are rotary, their angles, too. */
  private embed(name: string): string {
    const { graph, ids, positions, config } = this;
    const { rope, n_positions } = config;
    if (graph.has("wpe.weight")) {
      const tokens = graph.gather(`${name}.tokens`, "wte.weight", ids);
      const places = graph.add(`${name}.positions`, "Gather", [graph.weight("wpe.weight"), positions]);
      return graph.add(name, "Add", [tokens, places]);
    }
    const { dims = this.heads.HS } = rope!;
    addAngles(graph, ropeTable({ ...rope!, dims }, n_positions), positions, dims);
    return graph.gather(name, "wte.weight", ids);
  }

  /** The last T of a list along an axis. */
  private lastTokens(name: string, list: string, axis: number): string {
    const { graph } = this;
    const start = graph.add(`${name}.start`, "Neg", [this.count]);
    return graph.add(name, "Slice", [list, start, graph.ints(END), graph.ints(axis)]);
  }

  /** Texts begin at position 0, wherever padding is. */
  private countPositions(): string {
    const { graph } = this;
    const counted = graph.add("positions.counted", "CumSum", [this.mask, graph.int(1)]);
    const from0 = graph.add("positions.from0", "Sub", [counted, graph.int(1)]);
    return this.lastTokens("positions", graph.add("positions.all", "Max", [from0, graph.int(0)]), 1);
  }

  /** Added to the scores [B, 1, 1, T, S]: a token sees itself and those before it, but no padding. */
  private findSeen(): string {
    const { graph } = this;
    const total = graph.add("total", "Shape", [this.mask], { start: 1n, end: 2n });
    const end = graph.add("columns.end", "Squeeze", [total, graph.ints(0)]);
    const columns = graph.add("columns", "Range", [graph.int(0), end, graph.int(1)]);
    const rows = graph.add("rows", "Unsqueeze", [this.lastTokens("rows.new", columns, 0), graph.ints(1)]);
    const before = graph.add("seen.before", "LessOrEqual", [columns, rows]);
    const isText = graph.add("seen.text", "Cast", [this.mask], { to: BigInt(DATA_TYPE.BOOL) });
    const texts = graph.add("seen.texts", "Unsqueeze", [isText, graph.ints(1, 2, 3)]);
    const isSeen = graph.add("seen.both", "And", [before, texts]);
    return graph.add("seen", "Where", [isSeen, graph.float(0), graph.float(UNSEEN)]);
  }

  /** [B, T, C] of queries, keys and values [B, T, C + 2 KV HS]. */
  private attention(l: number, qkv: string): string {
    const { graph, config, seen } = this;
    const { KV, G, HS } = this.heads;
    const NH = KV * G;
    const name = (part: string) => `h.${l}.attn.${part}`;
    const heads = graph.add(name("heads"), "Reshape", [qkv, graph.ints(0, 0, NH + 2 * KV, HS)]);
    const split = (parts: readonly string[], list: string, ...sizes: number[]) =>
      graph.addAll(parts.map(name), "Split", [list, graph.ints(...sizes)], { axis: 2n });
    const [qk, v] = split(["qk", "v"], heads, NH + KV, KV) as [string, string];
    const turned = config.rope ? turn(graph, name("rope"), qk, HS, config.rope.dims ?? HS) : qk;
    const [q, k] = split(["q", "k"], turned, NH, KV) as [string, string];
    const scaled = graph.add(name("q.scaled"), "Mul", [q, graph.float(attentionScale(config, l))]);
    const grouped = graph.add(name("q.grouped"), "Reshape", [scaled, graph.ints(0, 0, KV, G, HS)]);
    const queries = graph.add(name("queries"), "Transpose", [grouped], { perm: [0, 2, 3, 1, 4] });
    // [B, KV, 1, S, HS]: the queries of a group have the same keys and values.
    const keys = graph.add(name("keys"), "Unsqueeze", [this.cached(l, "key", k), graph.ints(2)]);
    const values = graph.add(name("values"), "Unsqueeze", [this.cached(l, "value", v), graph.ints(2)]);
    const across = graph.add(name("keys.T"), "Transpose", [keys], { perm: [0, 1, 2, 4, 3] });
    const scores = graph.add(name("scores"), "MatMul", [queries, across]);
    const masked = graph.add(name("scores.seen"), "Add", [scores, seen]);
    const weights = graph.add(name("weights"), "Softmax", [masked], { axis: -1n });
    const read = graph.add(name("read"), "MatMul", [weights, values]);
    const rows = graph.add(name("rows"), "Transpose", [read], { perm: [0, 3, 1, 2, 4] });
    return graph.add(name("att"), "Reshape", [rows, graph.ints(0, 0, NH * HS)]);
  }

  /** Keys or values [B, T, KV, HS] behind those of the cache: [B, KV, S, HS]. */
  private cached(l: number, part: "key" | "value", list: string): string {
    const { graph } = this;
    const { KV, HS } = this.heads;
    const turned = graph.add(`${list}.T`, "Transpose", [list], { perm: [0, 2, 1, 3] });
    if (!this.writes) return turned;
    const past = graph.input(`past_key_values.${l}.${part}`, DATA_TYPE.FLOAT, [
      ...["batch_size", KV, "past_sequence_length", HS],
    ]);
    const present = graph.add(`present.${l}.${part}`, "Concat", [past, turned], { axis: 2n });
    graph.output(present, ["batch_size", KV, "total_sequence_length", HS]);
    return present;
  }

  /** Logits [B, n, V] of the last n = num_logits_to_keep tokens; 0: of all. */
  private lmHead(x: string): void {
    const { graph, config } = this;
    const wanted = graph.input("num_logits_to_keep", DATA_TYPE.INT64, []);
    const from = graph.add("kept.from", "Unsqueeze", [graph.add("kept.start", "Neg", [wanted]), graph.ints(0)]);
    const kept = graph.add("kept", "Slice", [x, from, graph.ints(END), graph.ints(1)]);
    const normed = norm(graph, "ln_f", kept, config);
    const rows = graph.add("head.rows", "Reshape", [normed, graph.ints(-1, config.n_embd)]);
    // Gemm reads the table as it lies: one that is transposed would be a second one in memory.
    const table = graph.weight(graph.has("lm_head.weight") ? "lm_head.weight" : "wte.weight", "rows");
    const logits = graph.add("head", "Gemm", [rows, table], { transB: 1n });
    const size = graph.add("head.size", "Shape", [normed], { end: 2n });
    const shape = graph.add("logits.shape", "Concat", [size, graph.ints(config.vocab_size)], { axis: 0n });
    graph.output(graph.add("logits", "Reshape", [logits, shape]), ["batch_size", "logits_length", config.vocab_size]);
  }

  /** Logits [B, labels] of each text's mean, or of its last token. */
  private classifierHead(x: string): void {
    const { graph, task } = this;
    const pooled = isMean(task) ? this.mean(x) : this.lastToken(x);
    graph.add("logits", "Gemm", [pooled, graph.weight("score.weight")], { transB: 1n });
    graph.output("logits", ["batch_size", task.num_labels]);
  }

  /** The final norm's outputs [B, C] at each text's last token. */
  private lastToken(x: string): string {
    const { graph } = this;
    const marks = graph.add("last.marks", "Cast", [this.mask], { to: BigInt(DATA_TYPE.INT32) });
    const last = graph.add("last", "ArgMax", [marks], { axis: 1n, keepdims: 1n, select_last_index: 1n });
    const rows = graph.add("selected", "GatherND", [x, last], { batch_dims: 1n });
    return norm(graph, "ln_f", rows, this.config);
  }

  /** Their mean [B, C] over each text's tokens. */
  private mean(x: string): string {
    const { graph } = this;
    const normed = norm(graph, "ln_f", x, this.config);
    const marks = graph.add("mean.marks", "Cast", [this.mask], { to: BigInt(DATA_TYPE.FLOAT) });
    const column = graph.add("mean.column", "Unsqueeze", [marks, graph.ints(2)]);
    const rows = graph.add("mean.rows", "Mul", [normed, column]);
    const sum = graph.add("mean.sum", "ReduceSum", [rows, graph.ints(1)], { keepdims: 0n });
    const count = graph.add("mean.count", "ReduceSum", [marks, graph.ints(1)], { keepdims: 1n });
    return graph.add("mean", "Div", [sum, count]);
  }
}
