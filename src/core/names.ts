/** The tensors of a model, their shapes, and their names, which are for files and for people. */
import { innerWidth, isLlama, isSplit, type ModelConfig, qkvWidth, traits } from "./config.ts";
import type { Rng } from "./rng.ts";
import { numel, type Shape } from "./tensor.ts";

/** The layers of a block, in the order of the forward pass. */
export const BLOCK_LAYERS = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"] as const;

export type LayerName = (typeof BLOCK_LAYERS)[number] | "wte" | "wpe" | "ln_f" | "lm_head" | "head";
type TensorPart = "weight" | "bias" | "embedding" | "A" | "B" | "magnitude";

/** A layer of the model. */
export interface Place {
  /** null: outside the blocks. */
  block: number | null;
  layer: LayerName;
}

/** A tensor of a model. Its place is the layer that it belongs to; of what a method adds, the first that uses it. */
export interface ModelTensor extends Place {
  part: TensorPart;
  /** Its origin: the base model, the head of a classifier, or the method. */
  origin: "base" | "head" | "method";
  /**
   * Of LoRA's A and B: their adapter. Those of a language model's head are at `head`, too. A of wte is transposed: [V,
   * r].
   */
  adapter?: LoraAdapter;
  /** A's B, which must be in the same page. */
  partner?: ModelTensor;
  /** Elements that are reserved for it in a page, so that the adapters of a matrix lie equally far apart. */
  room?: number;
  /** For files and for people. */
  name: string;
  shape: Shape;
  /** The initial values of what a method adds; absent: zeros. Those of a head are the run's choice (`HEAD_INITS`). */
  initial?: Initial | undefined;
  /** The factor of its learning rate; absent: 1. */
  rate?: number;
  /** Of DoRA's magnitudes: the columns of the matrix whose they are. */
  columns?: readonly Columns[];
}

/** Columns of a matrix that lie side by side. */
export interface Columns {
  first: number;
  width: number;
}

/**
 * Draws an initial value; `tokens`: the rows are those of random tokens; `norms`: the lengths of a matrix's columns.
 */
export type Initial = ((rng: Rng) => number) | "tokens" | "norms";

/**
 * Initialization of a classifier's head (its bias is 0): zeros, so that no class is likelier than another, `normal`
 * N(0, .02^2) as in transformers, `uniform` U(+-1/sqrt(C)) as PyTorch's nn.Linear and the published program.
 */
export const HEAD_INITS = ["zeros", "normal", "uniform"] as const;
/** The name of an initialization of the head. */
export type HeadInit = (typeof HEAD_INITS)[number];

/** U(-bound, bound) */
export const uniform =
  (bound: number) =>
  (rng: Rng): number =>
    (2 * rng.uniform() - 1) * bound;

/** A matrix that an adapter adapts. */
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

export const outside = (layer: LayerName): Place => ({ block: null, layer });

const inBlock = (block: number | null, word: string) => (block === null ? word : `h.${block}.${word}`);

/** The name of a layer: `h.3.attn.c_attn`. */
export const layerName = ({ block, layer }: Place): string => inBlock(block, layer);

/** The name of a tensor of the base model or its head: Hugging Face's, without `transformer.`, where it has one. */
export const tensorName = (place: Place, part: TensorPart = "weight"): string => `${layerName(place)}.${part}`;

/** The name of an adapter's A or B: `lora.h.3.attn.q.A`. */
export const loraName = (site: Site, part: "A" | "B"): string => `lora.${siteName(site)}.${part}`;

/** The name of DoRA's magnitudes of a matrix: `lora.h.3.attn.c_attn.magnitude`. */
export const magnitudeName = (place: Place): string => `lora.${tensorName(place, "magnitude")}`;

type Shapes = Partial<Record<TensorPart, Shape>>;

/** Tensors at a place, by their parts. */
function tensors(
  place: Place,
  parts: Shapes,
  origin: ModelTensor["origin"] = "base",
  name = layerName(place),
  initial: Partial<Record<TensorPart, Initial>> = {},
): ModelTensor[] {
  const list = Object.entries(parts) as [TensorPart, Shape][];
  return list.map(([part, shape]) => {
    return { ...place, part, origin, name: `${name}.${part}`, shape, initial: initial[part] };
  });
}

/** The tensors that a method adds to a layer, under a name of their own. */
export function addedTensors(
  name: string,
  place: Place,
  parts: Shapes,
  initial: Partial<Record<TensorPart, Initial>>,
): ModelTensor[] {
  return tensors(place, parts, "method", name, initial);
}

/** A weight and the bias of its outputs, which are its last dimension. */
export const affine = (...weight: number[]) => ({ weight, bias: [weight.at(-1)!] });

export const allBlocks = ({ n_layer }: ModelConfig) => Array.from({ length: n_layer }, (_, block) => block);

/**
 * A base model's tensors in the order of the forward pass. Those of all architectures have the names of those that do
 * the same in a GPT-2: `attn.c_attn` is queries, keys and values side by side, `mlp.c_fc` a Llama's gate and up.
 */
export function baseTensors(config: ModelConfig): ModelTensor[] {
  const { vocab_size, n_positions, n_embd: C, rope } = config;
  const { biases } = traits(config);
  const inner = innerWidth(config);
  const usual = (...weight: number[]) => (biases === "all" ? affine(...weight) : { weight });
  const qkv = biases === "none" ? usual : affine;
  return [
    ...tensors(outside("wte"), { weight: [vocab_size, C] }),
    ...(rope ? [] : tensors(outside("wpe"), { weight: [n_positions, C] })),
    // Conv1D weights are [in, out]: y = x W + b.
    ...allBlocks(config).flatMap((block) => [
      ...tensors({ block, layer: "ln_1" }, usual(C)),
      ...tensors({ block, layer: "attn.c_attn" }, qkv(C, qkvWidth(config))),
      ...tensors({ block, layer: "attn.c_proj" }, usual(C, C)),
      ...tensors({ block, layer: "ln_2" }, usual(C)),
      ...tensors({ block, layer: "mlp.c_fc" }, usual(C, isLlama(config) ? 2 * inner : inner)),
      ...tensors({ block, layer: "mlp.c_proj" }, usual(inner, C)),
    ]),
    ...tensors(outside("ln_f"), usual(C)),
  ];
}

/** The number of a model's parameters, without a head. */
export const countBase = (config: ModelConfig): number =>
  baseTensors(config).reduce((sum, { shape }) => sum + numel(shape), 0);

/** A language model's head, with the layout of nn.Linear; none where it is tied to the token table. */
export function lmHeadTensors({ vocab_size, n_embd, tie_word_embeddings }: ModelConfig): ModelTensor[] {
  return tie_word_embeddings === false ? tensors(outside("lm_head"), { weight: [vocab_size, n_embd] }) : [];
}

/** The classification head, with the layout of nn.Linear: [out, in]. */
export function headTensors({ n_embd }: ModelConfig, numLabels: number, bias: boolean): ModelTensor[] {
  const parts: Shapes = { weight: [numLabels, n_embd], ...(bias ? { bias: [numLabels] } : {}) };
  return tensors(outside("head"), parts, "head", "head");
}

const shapes = (list: readonly ModelTensor[]) => new Map(list.map(({ name, shape }) => [name, shape]));

export const baseShapes = (config: ModelConfig): Map<string, Shape> => shapes(baseTensors(config));

export const lmHeadShapes = (config: ModelConfig): Map<string, Shape> => shapes(lmHeadTensors(config));

/**
 * What a target adapts, in forward order: the layer, the word for it in names, and the models that have it: those with
 * a plain or a gated MLP.
 */
export const ADAPTED = {
  wte: { layer: "wte", word: "wte", of: "all" },
  c_attn: { layer: "attn.c_attn", word: "attn.c_attn", of: "plain" },
  q: { layer: "attn.c_attn", word: "attn.q", of: "all" },
  k: { layer: "attn.c_attn", word: "attn.k", of: "all" },
  v: { layer: "attn.c_attn", word: "attn.v", of: "all" },
  o: { layer: "attn.c_proj", word: "attn.o", of: "all" },
  fc: { layer: "mlp.c_fc", word: "mlp.fc", of: "plain" },
  gate: { layer: "mlp.c_fc", word: "mlp.gate", of: "gated" },
  up: { layer: "mlp.c_fc", word: "mlp.up", of: "gated" },
  proj: { layer: "mlp.c_proj", word: "mlp.proj", of: "plain" },
  down: { layer: "mlp.c_proj", word: "mlp.down", of: "gated" },
  head: { layer: "head", word: "head", of: "all" },
} as const satisfies Record<string, { layer: LayerName; word: string; of: "all" | "plain" | "gated" }>;
/**
 * The name of a matrix that can have an adapter; `c_attn`: one for q, k and v together, as in PEFT, `wte`: the token
 * table of a classifier.
 */
export type Target = keyof typeof ADAPTED;

/** Those that have one unless others are named, of a GPT-2. */
export const TARGETS = ["q", "k", "v", "o", "fc", "proj", "head"] as const satisfies Target[];

/** Whether every block has such a matrix. */
export const isInBlocks = (target: Target) => target !== "head" && target !== "wte";

export function modelTargets(config: Pick<ModelConfig, "model_type">): Target[] {
  const kind = isLlama(config) ? "gated" : "plain";
  return (Object.keys(ADAPTED) as Target[]).filter((target) => {
    const { of } = ADAPTED[target];
    return of === "all" || (of === kind && !(target === "c_attn" && isSplit(config)));
  });
}

/** The matrices of a block, in forward order. */
export type Matrix = Exclude<(typeof ADAPTED)[Target]["layer"], "head" | "wte">;

/** The name of what an adapter adapts: `h.3.attn.q`, or `head`. */
export const siteName = ({ target, block }: Site): string => inBlock(block, ADAPTED[target].word);

/** All places that can be adapted: the token table, then block by block, the head last. */
export function sites(config: ModelConfig, blocks: readonly number[], targets: readonly Target[]): Site[] {
  const inside = modelTargets(config).filter((target) => isInBlocks(target) && targets.includes(target));
  const one = (target: Target): Site[] => (targets.includes(target) ? [{ target, block: null }] : []);
  return [...one("wte"), ...blocks.flatMap((block) => inside.map((target) => ({ target, block }))), ...one("head")];
}

export function sitesByName(config: ModelConfig): Map<string, Site> {
  return new Map(sites(config, allBlocks(config), modelTargets(config)).map((site) => [siteName(site), site]));
}

/**
 * Input and output sizes of an adapted matrix; the input of the token table is a token of V. `headOut`: number of
 * classes, or V for a language model.
 */
export function loraDims(target: Target, config: ModelConfig, headOut: number): { in: number; out: number } {
  const [C, inner, qkv] = [config.n_embd, innerWidth(config), qkvWidth(config)];
  const kv = (qkv - C) / 2;
  const outputs: Partial<Record<Target, number>> = {
    c_attn: qkv,
    k: kv,
    v: kv,
    fc: inner,
    gate: inner,
    up: inner,
    head: headOut,
  };
  const inputs: Partial<Record<Target, number>> = { proj: inner, down: inner, wte: config.vocab_size };
  return { in: inputs[target] ?? C, out: outputs[target] ?? C };
}

/** The targets whose matrices are side by side in a layer's, and their columns in it. */
export function columnsIn(layer: LayerName, config: ModelConfig): (Columns & { target: Target })[] {
  const targets = modelTargets(config).filter((target) => ADAPTED[target].layer === layer && target !== "c_attn");
  let end = 0;
  return targets.map((target) => {
    const { out: width } = loraDims(target, config, 0);
    const first = end;
    end += width;
    return { target, first, width };
  });
}

/**
 * The columns of a layer's matrix that have DoRA's magnitudes where these sites have adapters: as in PEFT those of
 * whole modules, of which a model with separate queries, keys and values has one for each.
 */
export function scaledColumns({ block, layer }: Place, adapted: readonly Site[], config: ModelConfig): Columns[] {
  const ranges: Columns[] = [];
  for (const { target, first, width } of columnsIn(layer, config)) {
    if (isSplit(config) && !adapted.some((site) => site.block === block && site.target === target)) continue;
    const last = ranges.at(-1);
    if (last && last.first + last.width === first) last.width += width;
    else ranges.push({ first, width });
  }
  return ranges;
}

/** Columns of the keys and values of all blocks. */
export const keyValueColumns = (config: ModelConfig) => config.n_layer * (qkvWidth(config) - config.n_embd);

/** The first column of a target in its layer's matrix. */
export function firstColumn(target: Target, config: ModelConfig): number {
  return columnsIn(ADAPTED[target].layer, config).find((one) => one.target === target)?.first ?? 0;
}

/** The outputs of the matrix in a block that an adapter adapts: q, k and v are parts of one, and so are gate and up. */
export function matrixOutputs(target: Target, config: ModelConfig): number {
  return columnsIn(ADAPTED[target].layer, config).reduce((sum, { width }) => sum + width, 0);
}
