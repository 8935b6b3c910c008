/** What the tensors of a model are, their shapes, and their names, which are for files and for people. */
import { type GPT2Config, innerWidth, isInBlocks, type LoraConfig, loraScale, type Target } from "./config.ts";
import { ConfigError } from "./errors.ts";
import type { Rng } from "./rng.ts";
import { numel, type Shape } from "./tensor.ts";

/** The layers of a block, in the order of the forward pass. */
export const BLOCK_LAYERS = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"] as const;

export type Layer = (typeof BLOCK_LAYERS)[number] | "wte" | "wpe" | "ln_f" | "lm_head" | "head";
type Part = "weight" | "bias" | "embedding" | "A" | "B" | "magnitude";

/** A layer of the model. */
export interface Place {
  /** null: outside the blocks. */
  block: number | null;
  layer: Layer;
}

/** A tensor of a model. Its place is the layer that it belongs to; of what a method adds, the first that uses it. */
export interface ModelTensor extends Place {
  part: Part;
  /** What it belongs to: the base model, the head of a classifier, or what the method adds. */
  origin: "base" | "head" | "method";
  /** Of LoRA's A and B: their adapter. Those of a language model's head are at `head`, too. A of wte is transposed: [V, r]. */
  adapter?: LoraAdapter;
  /** A's B, which must be in the same page. */
  partner?: ModelTensor;
  /** For files and for people. */
  name: string;
  shape: Shape;
  /** The initial values of what a method adds; absent: zeros. Those of a head are the run's choice (`HEAD_INITS`). */
  initial?: Initial | undefined;
  /** The factor of its learning rate; absent: 1. */
  rate?: number;
}

/** Draws an initial value; `tokens`: the rows are those of random tokens; `norms`: the lengths of a matrix's columns. */
export type Initial = ((rng: Rng) => number) | "tokens" | "norms";

/** U(-bound, bound) */
export const uniform =
  (bound: number) =>
  (rng: Rng): number =>
    (2 * rng.uniform() - 1) * bound;

/** What an adapter adapts. */
export interface Site {
  target: Target;
  /** null: the head, or the token table. */
  block: number | null;
}

/** An adapter: what it adapts, its rank, and the factor of B A x. */
export interface LoraAdapter extends Site {
  r: number;
  scale: number;
}

export const outside = (layer: Layer): Place => ({ block: null, layer });

const inBlock = (block: number | null, word: string) => (block === null ? word : `h.${block}.${word}`);

/** The name of a layer: `h.3.attn.c_attn`. */
export const layerName = ({ block, layer }: Place): string => inBlock(block, layer);

/** The name of a tensor of the base model or its head: Hugging Face's, without `transformer.`, where it has one. */
export const tensorName = (place: Place, part: Part = "weight"): string => `${layerName(place)}.${part}`;

/** The name of an adapter's A or B: `lora.h.3.attn.q.A`. */
export const loraName = (site: Site, part: "A" | "B"): string => `lora.${siteName(site)}.${part}`;

/** The name of DoRA's magnitudes of a matrix: `lora.h.3.attn.c_attn.magnitude`. */
export const magnitudeName = (place: Place): string => `lora.${tensorName(place, "magnitude")}`;

type Shapes = Partial<Record<Part, Shape>>;

/** Tensors at a place, by their parts. */
function tensors(
  place: Place,
  parts: Shapes,
  origin: ModelTensor["origin"] = "base",
  name = layerName(place),
  initial: Partial<Record<Part, Initial>> = {},
): ModelTensor[] {
  const list = Object.entries(parts) as [Part, Shape][];
  return list.map(([part, shape]) => {
    return { ...place, part, origin, name: `${name}.${part}`, shape, initial: initial[part] };
  });
}

/** The tensors that a method adds to a layer, under a name of their own. */
export function addedTensors(
  name: string,
  place: Place,
  parts: Shapes,
  initial: Partial<Record<Part, Initial>>,
): ModelTensor[] {
  return tensors(place, parts, "method", name, initial);
}

/** A weight and the bias of its outputs, which are its last dimension. */
export const affine = (...weight: number[]) => ({ weight, bias: [weight.at(-1)!] });

export const allBlocks = ({ n_layer }: GPT2Config) => Array.from({ length: n_layer }, (_, block) => block);

/** A GPT-2's tensors in the order of the forward pass. */
export function baseTensors(config: GPT2Config): ModelTensor[] {
  const { vocab_size, n_positions, n_embd: C } = config;
  const inner = innerWidth(config);
  return [
    ...tensors(outside("wte"), { weight: [vocab_size, C] }),
    ...tensors(outside("wpe"), { weight: [n_positions, C] }),
    // Conv1D weights are [in, out]: y = x W + b.
    ...allBlocks(config).flatMap((block) => [
      ...tensors({ block, layer: "ln_1" }, affine(C)),
      ...tensors({ block, layer: "attn.c_attn" }, affine(C, 3 * C)),
      ...tensors({ block, layer: "attn.c_proj" }, affine(C, C)),
      ...tensors({ block, layer: "ln_2" }, affine(C)),
      ...tensors({ block, layer: "mlp.c_fc" }, affine(C, inner)),
      ...tensors({ block, layer: "mlp.c_proj" }, affine(inner, C)),
    ]),
    ...tensors(outside("ln_f"), affine(C)),
  ];
}

/** The number of a GPT-2's parameters, without a head. */
export const countBase = (config: GPT2Config): number =>
  baseTensors(config).reduce((sum, { shape }) => sum + numel(shape), 0);

/** A language model's head, with the layout of nn.Linear; none where it is tied to the token table. */
export function lmHeadTensors({ vocab_size, n_embd, tie_word_embeddings }: GPT2Config): ModelTensor[] {
  return tie_word_embeddings === false ? tensors(outside("lm_head"), { weight: [vocab_size, n_embd] }) : [];
}

/** The classification head, with the layout of nn.Linear: [out, in]. */
export function headTensors({ n_embd }: GPT2Config, numLabels: number, bias: boolean): ModelTensor[] {
  const parts: Shapes = { weight: [numLabels, n_embd], ...(bias ? { bias: [numLabels] } : {}) };
  return tensors(outside("head"), parts, "head", "head");
}

const shapes = (list: readonly ModelTensor[]) => new Map(list.map(({ name, shape }) => [name, shape]));

/** The names and shapes of `baseTensors`. */
export const baseShapes = (config: GPT2Config): Map<string, Shape> => shapes(baseTensors(config));

/** The name and shape of `lmHeadTensors`. */
export const lmHeadShapes = (config: GPT2Config): Map<string, Shape> => shapes(lmHeadTensors(config));

/** What a target adapts, in forward order: the layer, its first column in units of C, and the word for it in names. */
export const ADAPTED = {
  wte: { layer: "wte", column: 0, word: "wte" },
  c_attn: { layer: "attn.c_attn", column: 0, word: "attn.c_attn" },
  q: { layer: "attn.c_attn", column: 0, word: "attn.q" },
  k: { layer: "attn.c_attn", column: 1, word: "attn.k" },
  v: { layer: "attn.c_attn", column: 2, word: "attn.v" },
  o: { layer: "attn.c_proj", column: 0, word: "attn.o" },
  fc: { layer: "mlp.c_fc", column: 0, word: "mlp.fc" },
  proj: { layer: "mlp.c_proj", column: 0, word: "mlp.proj" },
  head: { layer: "head", column: 0, word: "head" },
} as const satisfies Record<Target, { layer: Layer; column: number; word: string }>;

const TARGETS = Object.keys(ADAPTED) as Target[];

/** The matrices of a block, in forward order. */
export type Matrix = Exclude<(typeof ADAPTED)[Target]["layer"], "head" | "wte">;

/** The name of what an adapter adapts: `h.3.attn.q`, or `head`. */
export const siteName = ({ target, block }: Site): string => inBlock(block, ADAPTED[target].word);

/** What can be adapted: the token table, then block by block, the head last. */
function sites(blocks: readonly number[], targets: readonly Target[]): Site[] {
  const inside = TARGETS.filter((target) => isInBlocks(target) && targets.includes(target));
  const one = (target: Target): Site[] => (targets.includes(target) ? [{ target, block: null }] : []);
  return [...one("wte"), ...blocks.flatMap((block) => inside.map((target) => ({ target, block }))), ...one("head")];
}

/** All that can be adapted, by name. */
export function sitesByName(config: GPT2Config): Map<string, Site> {
  return new Map(sites(allBlocks(config), TARGETS).map((site) => [siteName(site), site]));
}

/** Input and output sizes of an adapted matrix; the input of the token table is a token of V. `headOut`: number of classes, or V for a language model. */
export function loraDims(target: Target, config: GPT2Config, headOut: number): { in: number; out: number } {
  const [C, inner] = [config.n_embd, innerWidth(config)];
  const outputs: Partial<Record<Target, number>> = { c_attn: 3 * C, fc: inner, head: headOut };
  const inputs: Partial<Record<Target, number>> = { proj: inner, wte: config.vocab_size };
  return { in: inputs[target] ?? C, out: outputs[target] ?? C };
}

/** The outputs of the matrix in a block that an adapter adapts: q, k and v are parts of one. */
export function matrixOutputs(target: Target, config: GPT2Config): number {
  return loraDims(ADAPTED[target].layer === "attn.c_attn" ? "c_attn" : target, config, 0).out;
}

/** All adapters of a model, that of the token table first, then block by block, the head last. Throws ConfigError for one that the model cannot have. */
export function loraAdapters(config: GPT2Config, lora: LoraConfig): LoraAdapter[] {
  if (lora.sites) {
    const known = sitesByName(config);
    return lora.sites.map(({ site: name, ...rest }) => {
      const site = known.get(name);
      if (site) return { ...site, ...rest };
      throw new ConfigError("no-such-adapter-site", `the model has no adapter site ${name}`, {
        expected: "h.0.attn.q, ..., head",
      });
    });
  }
  const { r, target_modules, layers_to_transform: blocks = allBlocks(config) } = lora;
  const last = blocks.at(-1)!;
  if (last >= config.n_layer)
    throw new ConfigError("no-such-layer", "the model has no such layer", {
      expected: `blocks from 0 to ${config.n_layer - 1}`,
      found: String(last),
    });
  const scale = loraScale(lora);
  return sites(blocks, target_modules).map((site) => ({ ...site, r, scale }));
}
