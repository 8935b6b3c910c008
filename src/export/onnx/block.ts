/** What an architecture's file says of a graph, and what all of them are made of. Letters: see decoder.ts. */
import type { ModelConfig } from "../../config.ts";
import type { Graph } from "./graph.ts";

/** What an architecture's file says of its graph: as `Architecture` in model/block.ts says it of a plan. */
export interface GraphArchitecture {
  /** The residual stream [B, T, C] of tokens at positions, both [B, T]. */
  embed(graph: Graph, ids: string, positions: string, config: ModelConfig): string;
  norm(graph: Graph, name: string, x: string, config: ModelConfig): string;
  /** Queries and keys [B, T, NH + KV, HS] of block l, turned to their positions. */
  turn(graph: Graph, l: number, queriesAndKeys: string, config: ModelConfig): string;
  /** What goes into the last matrix of the MLP of block l, from the output of the norm before it. */
  inner(graph: Graph, l: number, x: string, config: ModelConfig): string;
}

/** x [.., in] W + b of a matrix [in, out]. */
export function linear(graph: Graph, name: string, x: string): string {
  const product = [x, graph.weight(`${name}.weight`, "matrix")];
  if (!graph.has(`${name}.bias`)) return graph.add(name, "MatMul", product);
  return graph.add(name, "Add", [graph.add(`${name}.product`, "MatMul", product), graph.weight(`${name}.bias`)]);
}
