/** The layers of a model (model/graph.ts) as ONNX's standard operators. Letters: see decoder.ts. */
import type { ModelConfig } from "../../config.ts";
import type { ActivationName } from "../../ops/activation.ts";
import type { Graph } from "./graph.ts";

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
export function addAngles(graph: Graph, table: Float32Array, positions: string, dims: number): void {
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
