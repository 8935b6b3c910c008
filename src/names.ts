/** The names and shapes of every tensor, in one place: the model, the planner and the file formats agree on these. */
import type { GPT2Config, Target } from "./config.ts";
import type { Shape } from "./tensor.ts";

/** Names (Hugging Face's, without `transformer.`) and shapes of a GPT-2's tensors, in the order of the forward pass. */
export function baseShapes({ vocab_size, n_positions, n_layer, n_embd: C }: GPT2Config): Map<string, Shape> {
  const shapes = new Map<string, Shape>([
    ["wte.weight", [vocab_size, C]],
    ["wpe.weight", [n_positions, C]],
  ]);
  // Conv1D weights are [in, out]: y = x W + b.
  const layer: [string, Shape][] = [
    ["ln_1", [C]],
    ["attn.c_attn", [C, 3 * C]],
    ["attn.c_proj", [C, C]],
    ["ln_2", [C]],
    ["mlp.c_fc", [C, 4 * C]],
    ["mlp.c_proj", [4 * C, C]],
  ];
  for (let i = 0; i < n_layer; i++)
    for (const [name, shape] of layer) {
      shapes.set(`h.${i}.${name}.weight`, shape);
      shapes.set(`h.${i}.${name}.bias`, [shape.at(-1)!]);
    }
  shapes.set("ln_f.weight", [C]);
  shapes.set("ln_f.bias", [C]);
  return shapes;
}

/** The classification head, laid out as nn.Linear: [out, in]. */
export function headShapes({ n_embd }: GPT2Config, numLabels: number, bias: boolean): Map<string, Shape> {
  const shapes = new Map<string, Shape>([["head.weight", [numLabels, n_embd]]]);
  if (bias) shapes.set("head.bias", [numLabels]);
  return shapes;
}

/** Where in block N a target's adapter stands: `h.N.<site>`. */
const SITES = { q: "attn.q", k: "attn.k", v: "attn.v", o: "attn.o", fc: "mlp.fc", proj: "mlp.proj" } as const;

/** The site of a target: `h.3.attn.q`, or `head` (whatever the layer). Its tensors are `lora.<site>.A` and `.B`. */
export function loraSite(target: Target, layer: number): string {
  return target === "head" ? "head" : `h.${layer}.${SITES[target]}`;
}

/** Inputs and outputs of the matrix that an adapter stands beside. `headOut`: classes, or V for the tied LM head. */
export function loraDims(target: Target, { n_embd: C }: GPT2Config, headOut: number): { in: number; out: number } {
  switch (target) {
    case "fc":
      return { in: C, out: 4 * C };
    case "proj":
      return { in: 4 * C, out: C };
    case "head":
      return { in: C, out: headOut };
    default:
      return { in: C, out: C };
  }
}

/** Adapter tensors: `lora.<site>.A` [r, in] and `lora.<site>.B` [out, r], block by block, the head last. */
export function loraShapes(
  config: GPT2Config,
  targets: readonly Target[],
  r: number,
  headOut: number,
): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  const add = (target: Target, layer: number) => {
    const dims = loraDims(target, config, headOut);
    shapes.set(`lora.${loraSite(target, layer)}.A`, [r, dims.in]);
    shapes.set(`lora.${loraSite(target, layer)}.B`, [dims.out, r]);
  };
  for (let i = 0; i < config.n_layer; i++)
    for (const target of ["q", "k", "v", "o", "fc", "proj"] as const) if (targets.includes(target)) add(target, i);
  if (targets.includes("head")) add("head", 0);
  return shapes;
}
