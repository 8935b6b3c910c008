/**
 * A model as a graph: layers, each of which reads values and gives one. An architecture's file writes its block in them
 * from top to bottom. Passes (passes.ts) insert what a method or a task adds; lower.ts makes dispatches of layers,
 * rules.ts their backward list, and export/onnx the operators of ONNX.
 */
import type { ModelConfig } from "../core/config.ts";
import { baseShapes, layerName, type Matrix, type Place } from "../core/names.ts";
import type { ActivationName } from "../ops/activation.ts";

/** A layer's output: rows of `columns` numbers. */
export interface Value {
  readonly name: string;
  readonly columns: number;
  /** Further rows of its tensor, behind those of the batch: those of a prefix. */
  room?: number;
}

/** The fields of each kind of layer. */
interface Kinds {
  /** The tokens' rows of the table, plus those of their positions where the model has a table of them. */
  embed: object;
  /** A layer norm, or an RMS norm. `name` is that of its parameters. */
  norm: { name: string };
  /**
   * x W + b, with the adapters of W if it has a place: of x, or of the second input, what dropout leaves of x. `name`
   * is that of its parameters; `isBare`: without b, which `scale` adds.
   */
  linear: { name: string; place?: Place; isBare?: true };
  /** DoRA: the outputs of the matrix at a place without b, each times magnitude / norm, + b. */
  scale: { place: Place };
  /** The input of the adapters at a place, as dropout leaves it. */
  drop: { place: Place };
  /** Queries and keys, turned by their positions. */
  rotate: object;
  /** Attention over queries, keys and values [rows, (NH + 2 KV) HS], within each sequence. */
  attention: { block: number };
  activate: { by: ActivationName };
  /** silu(the first half of the columns) * the second half (SwiGLU). */
  gate: object;
  /** The residual stream plus the output of the layer before. */
  add: object;
  /** The rows at which sequences are classified; `isMean`: the means of ranges of rows. */
  select: { isMean: boolean };
}

export type Kind = keyof Kinds;

/** A layer of a kind; by default of any. */
export type Layer<K extends Kind = Kind> = {
  [Each in K]: Readonly<{ kind: Each; inputs: readonly Value[]; out: Value } & Kinds[Each]>;
}[K];

/** Layers whose output is computed again in the backward pass, as that costs little. */
export type Cheap = Layer<"norm" | "activate" | "gate" | "drop">;

/** The residual stream behind block l, from that before it. */
type Block = (g: Graph, l: number, x: Value) => Value;

/** An architecture, as its file describes it. */
export interface Architecture {
  block: Block;
  /** Whether its norms are LayerNorm; else they are RMS norms, without a bias. */
  centred: boolean;
}

/** Layers from a value to a value; null: from the tokens. */
export interface Section {
  input: Value | null;
  layers: Layer[];
  output: Value;
}

export class Graph {
  readonly layers: Layer[] = [];
  private readonly shapes: ReturnType<typeof baseShapes>;

  constructor(readonly config: ModelConfig) {
    this.shapes = baseShapes(config);
  }

  embed(): Value {
    return this.push({ kind: "embed", inputs: [], out: { name: "embed", columns: this.config.n_embd } });
  }

  norm(name: string, x: Value, out: Value = { ...x, name }): Value {
    return this.push({ kind: "norm", name, inputs: [x], out });
  }

  linear(block: number, layer: Matrix, x: Value): Value {
    const place = { block, layer };
    const name = layerName(place);
    const columns = this.shapes.get(`${name}.weight`)![1]!;
    return this.push({ kind: "linear", name, place, inputs: [x], out: { name, columns } });
  }

  rotate(qkv: Value): Value {
    return this.push({ kind: "rotate", inputs: [qkv], out: { ...qkv } });
  }

  attention(block: number, qkv: Value): Value {
    return this.push({ kind: "attention", block, inputs: [qkv], out: this.stream(`h.${block}.att`) });
  }

  activate(name: string, x: Value, by: ActivationName = this.config.activation_function ?? "gelu_new"): Value {
    return this.push({ kind: "activate", by, inputs: [x], out: { ...x, name } });
  }

  gate(name: string, x: Value): Value {
    return this.push({ kind: "gate", inputs: [x], out: { name, columns: x.columns / 2 } });
  }

  add(name: string, x: Value, y: Value): Value {
    return this.push({ kind: "add", inputs: [x, y], out: this.stream(name) });
  }

  private stream(name: string): Value {
    return { name, columns: this.config.n_embd };
  }

  private push(layer: Layer): Value {
    this.layers.push(layer);
    return layer.out;
  }
}

/** The embedding, the blocks, and the final norm of a model, without what a method or a task adds. */
export function modelSections(config: ModelConfig, block: Block): Section[] {
  const sections: Section[] = [];
  let input: Value | null = null;
  const section = (make: (g: Graph) => Value) => {
    const g = new Graph(config);
    const output = make(g);
    sections.push({ input, layers: g.layers, output });
    input = output;
    return output;
  };
  let x = section((g) => g.embed());
  for (let l = 0; l < config.n_layer; l++) {
    const before = x;
    x = section((g) => block(g, l, before));
  }
  section((g) => g.norm("ln_f", x, { ...x, name: "final_norm" }));
  return sections;
}
