/** The names and shapes of all tensors, shared by the model, the planner and the file formats. */
import { type GPT2Config, innerWidth, type LoraConfig, type LoraSite, loraScale, type Target } from "./config.ts";
import { ConfigError } from "./errors.ts";
import type { Shape } from "./tensor.ts";

/** Names (Hugging Face's, without `transformer.`) and shapes of a GPT-2's tensors, in the order of the forward pass. */
export function baseShapes(config: GPT2Config): Map<string, Shape> {
  const { vocab_size, n_positions, n_layer, n_embd: C } = config;
  const inner = innerWidth(config);
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
    ["mlp.c_fc", [C, inner]],
    ["mlp.c_proj", [inner, C]],
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

/** A language model's head, with the layout of nn.Linear; none where it is tied to the token table. */
export function lmHeadShapes({ vocab_size, n_embd, tie_word_embeddings }: GPT2Config): Map<string, Shape> {
  return new Map(tie_word_embeddings === false ? [["lm_head.weight", [vocab_size, n_embd]]] : []);
}

/** The classification head, with the layout of nn.Linear: [out, in]. */
export function headShapes({ n_embd }: GPT2Config, numLabels: number, bias: boolean): Map<string, Shape> {
  const shapes = new Map<string, Shape>([["head.weight", [numLabels, n_embd]]]);
  if (bias) shapes.set("head.bias", [numLabels]);
  return shapes;
}

/** The tensors of a linear layer that a method adds: its weight is [in, out]. */
export function linearShapes(name: string, from: number, to: number): [name: string, shape: Shape][] {
  return [
    [`${name}.weight`, [from, to]],
    [`${name}.bias`, [to]],
  ];
}

/** Whether a tensor is an adapter's (of any kind) or the head's, not the base model's. */
export function isAdded(name: string): boolean {
  return /^(lora|head|prompt|prefix)\.|\.adapter\./.test(name);
}

/** The site of a target's adapter in block N: `h.N.<site>`. */
const SITES = {
  q: "attn.q",
  k: "attn.k",
  v: "attn.v",
  c_attn: "attn.c_attn",
  o: "attn.o",
  fc: "mlp.fc",
  proj: "mlp.proj",
} as const;

/** The targets of a block, in the order of the forward pass. */
const IN_BLOCK = Object.keys(SITES) as (keyof typeof SITES)[];

/** The matrices of a block, in forward order, and their adapters: site, and first output column in units of C. */
export const ADAPTERS = {
  "attn.c_attn": [
    ["attn.c_attn", 0],
    ["attn.q", 0],
    ["attn.k", 1],
    ["attn.v", 2],
  ],
  "attn.c_proj": [["attn.o", 0]],
  "mlp.c_fc": [["mlp.fc", 0]],
  "mlp.c_proj": [["mlp.proj", 0]],
} as const satisfies Record<string, readonly (readonly [site: string, column: number])[]>;
export type Matrix = keyof typeof ADAPTERS;

/** The site of a target: `h.3.attn.q`, or `head` for any layer. Its tensors are `lora.<site>.A` and `.B`. */
export function loraSite(target: Target, layer: number): string {
  return target === "head" ? "head" : `h.${layer}.${SITES[target]}`;
}

/** The target and the layer of a site (0 for the head), or undefined if the model has no such site. */
export function parseSite(site: string, { n_layer }: GPT2Config): { target: Target; layer: number } | undefined {
  if (site === "head") return { target: "head", layer: 0 };
  const layer = Number(/^h\.(\d+)\./.exec(site)?.[1] ?? Number.NaN);
  const target = IN_BLOCK.find((one) => site === loraSite(one, layer));
  return target !== undefined && layer < n_layer ? { target, layer } : undefined;
}

/** Input and output sizes of an adapted matrix. `headOut`: number of classes, or V for a language model. */
export function loraDims(target: Target, config: GPT2Config, headOut: number): { in: number; out: number } {
  const C = config.n_embd;
  switch (target) {
    case "c_attn":
      return { in: C, out: 3 * C };
    case "fc":
      return { in: C, out: innerWidth(config) };
    case "proj":
      return { in: innerWidth(config), out: C };
    case "head":
      return { in: C, out: headOut };
    default:
      return { in: C, out: C };
  }
}

/** All adapters of a model, block by block, the head last. Throws ConfigError for a layer that does not exist. */
export function loraSites(config: GPT2Config, lora: LoraConfig): readonly LoraSite[] {
  if (lora.sites) return lora.sites;
  const { r, target_modules: targets } = lora;
  const scale = loraScale(lora);
  const sites: LoraSite[] = [];
  const layers = lora.layers_to_transform ?? Array.from({ length: config.n_layer }, (_, layer) => layer);
  const last = layers.at(-1)!;
  if (last >= config.n_layer)
    throw new ConfigError("no-such-layer", "the model has no such layer", {
      expected: `blocks from 0 to ${config.n_layer - 1}`,
      found: String(last),
    });
  for (const layer of layers)
    for (const target of IN_BLOCK)
      if (targets.includes(target)) sites.push({ site: loraSite(target, layer), r, scale });
  if (targets.includes("head")) sites.push({ site: "head", r, scale });
  return sites;
}

/** Adapter tensors: `lora.<site>.A` [r, in] and `lora.<site>.B` [out, r], in the order of their sites. */
export function loraShapes(config: GPT2Config, lora: LoraConfig, headOut: number): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (const { site, r } of loraSites(config, lora)) {
    const place = parseSite(site, config);
    if (!place)
      throw new ConfigError("no-such-adapter-site", `the model has no adapter site ${site}`, {
        expected: "h.0.attn.q, ..., head",
      });
    const dims = loraDims(place.target, config, headOut);
    shapes.set(`lora.${site}.A`, [r, dims.in]);
    shapes.set(`lora.${site}.B`, [dims.out, r]);
  }
  return shapes;
}
