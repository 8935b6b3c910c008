/**
 * The part of a Llama-type model in a graph: queries and keys are turned to their positions, and the MLP is
 * down(silu(gate(x)) * up(x)). Norms are RMS norms, without a bias.
 */
import { innerWidth } from "../../config.ts";
import { ropeTable } from "../../model/rope-table.ts";
import { type GraphArchitecture, linear } from "./block.ts";
import type { Graph } from "./graph.ts";

/** Splits a value in two halves along its last axis. */
function halves(graph: Graph, names: readonly [string, string], list: string, width: number) {
  return graph.addAll(names, "Split", [list, graph.ints(width, width)], { axis: -1n });
}

export const llama: GraphArchitecture = {
  embed(graph, ids, positions, { n_embd, n_head, n_positions, rope }) {
    const headSize = n_embd / n_head;
    const table = graph.table("rope.table", n_positions, ropeTable({ ...rope!, headSize }, n_positions));
    const angles = graph.add("rope.angles", "Gather", [table, positions]);
    halves(graph, ["rope.cos", "rope.sin"], graph.add("rope", "Unsqueeze", [angles, graph.ints(2)]), headSize / 2);
    return graph.gather("embed", "wte.weight", ids);
  },

  norm(graph, name, x, { layer_norm_epsilon }) {
    const squares = graph.add(`${name}.squares`, "Pow", [x, graph.float(2)]);
    const mean = graph.add(`${name}.mean`, "ReduceMean", [squares, graph.ints(-1)]);
    const sum = graph.add(`${name}.sum`, "Add", [mean, graph.float(layer_norm_epsilon)]);
    const root = graph.add(`${name}.root`, "Sqrt", [sum]);
    return graph.add(name, "Mul", [graph.add(`${name}.normed`, "Div", [x, root]), graph.weight(`${name}.weight`)]);
  },

  /** (a, b) becomes (a cos - b sin, b cos + a sin) for the halves a and b of a head. */
  turn(graph, l, queriesAndKeys, { n_embd, n_head }) {
    const name = (part: string) => `h.${l}.attn.rope.${part}`;
    const [a, b] = halves(graph, [name("a"), name("b")], queriesAndKeys, n_embd / n_head / 2);
    const by = (list: string, factor: "cos" | "sin") => graph.add(`${list}.${factor}`, "Mul", [list, `rope.${factor}`]);
    const first = graph.add(name("first"), "Sub", [by(a, "cos"), by(b, "sin")]);
    const second = graph.add(name("second"), "Add", [by(b, "cos"), by(a, "sin")]);
    return graph.add(name("turned"), "Concat", [first, second], { axis: -1n });
  },

  inner(graph, l, x, config) {
    const name = (part: string) => `h.${l}.mlp.${part}`;
    const both = linear(graph, name("c_fc"), x);
    const [gate, up] = halves(graph, [name("gate"), name("up")], both, innerWidth(config));
    const silu = graph.add(name("silu"), "Mul", [gate, graph.add(name("sigmoid"), "Sigmoid", [gate])]);
    return graph.add(name("inner"), "Mul", [silu, up]);
  },
};
