/** GPT-2's part of a graph: positions are in the embedding, and the MLP is proj(activation(fc(x))). */
import type { Activation } from "../../config.ts";
import { type GraphArchitecture, linear } from "./block.ts";

const ACTIVATION = {
  gelu_new: ["Gelu", { approximate: "tanh" }],
  gelu: ["Gelu", {}],
  relu: ["Relu", {}],
} as const satisfies Record<Activation, unknown>;

export const gpt2: GraphArchitecture = {
  embed(graph, ids, positions) {
    const tokens = graph.gather("embed.tokens", "wte.weight", ids);
    const places = graph.add("embed.positions", "Gather", [graph.weight("wpe.weight"), positions]);
    return graph.add("embed", "Add", [tokens, places]);
  },

  norm(graph, name, x, { layer_norm_epsilon }) {
    const inputs = [x, graph.weight(`${name}.weight`), graph.weight(`${name}.bias`)];
    return graph.add(name, "LayerNormalization", inputs, { axis: -1n, epsilon: layer_norm_epsilon });
  },

  turn: (_graph, _l, queriesAndKeys) => queriesAndKeys,

  inner(graph, l, x, { activation_function = "gelu_new" }) {
    const [op, attributes] = ACTIVATION[activation_function];
    return graph.add(`h.${l}.fcg`, op, [linear(graph, `h.${l}.mlp.c_fc`, x)], attributes);
  },
};
