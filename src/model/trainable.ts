/** A model's tensors, and which of them each mode trains. */

import { BLOCKS, type BlockDtype, isBlockDtype } from "../blocks.ts";
import { type GPT2Config, innerWidth, type LoraConfig, type TaskConfig, type WeightDtype } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { METHODS, type MethodConfig, type Mode } from "../methods/index.ts";
import { ADAPTERS, baseShapes, headShapes, isAdded, lmHeadShapes, loraSites } from "../names.ts";
import { numel, type Shape } from "../tensor.ts";

/** Everything that determines which tensors a model has and which of them are trained. */
export interface ModelSpec extends MethodConfig {
  config: GPT2Config;
  task: TaskConfig;
  mode: Mode;
  /** Set in mode lora, null in the others. */
  lora: LoraConfig | null;
  /** Whether the classification head is trained; in modes all, last_block and last_layer it always is. */
  train_head: boolean;
  /** Type of the base model's frozen matrices; default f32. */
  dtype?: WeightDtype;
}

/** A tensor of the model, before there is a plan. */
interface Description {
  name: string;
  shape: Shape;
  isTrained: boolean;
  dtype: WeightDtype;
}

/** Every tensor of the model with its shape, and whether it is trained. */
export function parameterList(spec: ModelSpec): Description[] {
  const { config, task, mode, lora, dtype = "f32" } = spec;
  if (dtype !== "f32" && METHODS[mode].freezesNothing)
    throw new ConfigError("unsupported-dtype", `nothing is frozen in mode ${mode}`, {
      expected: `f32: trained parameters are never rounded to ${dtype}`,
      found: dtype,
      hint: "use f32, or a mode that freezes the base model, such as lora",
    });
  if (isBlockDtype(dtype)) checkWidths(config, dtype);
  if ((lora !== null) !== METHODS[mode].keys.includes("lora"))
    throw new ConfigError("options-conflict", "adapters and mode do not fit", {
      expected: "LoRA settings in mode lora, none in the others",
      found: `mode ${mode} ${lora ? "with" : "without"} LoRA settings`,
    });
  const { classifiersOnly: hint } = METHODS[mode];
  if (task.objective === "lm" && hint !== undefined)
    throw new ConfigError("unsupported-mode", `a language model has no mode ${mode}`, {
      expected: "any other mode",
      hint,
    });
  const isClassifier = task.objective === "classification";
  const headOut = isClassifier ? task.num_labels : config.vocab_size;
  const base = new Map([...baseShapes(config), ...(isClassifier ? [] : lmHeadShapes(config))]);
  const shapes = new Map([
    ...base,
    ...(isClassifier ? headShapes(config, task.num_labels, task.head_bias) : []),
    ...(METHODS[mode].shapes?.(config, spec, headOut) ?? []),
  ]);
  const last = `h.${config.n_layer - 1}.`;
  const isHead = (name: string) => name.startsWith("head.");
  const isOwn = (name: string) => (isHead(name) ? spec.train_head : isAdded(name));
  const isTrained: Record<Mode, (name: string) => boolean> = {
    lora: (name) => isOwn(name) || (lora?.modulesToSave ?? []).includes(name),
    // Every bias and the head: Ben Zaken et al. 2021.
    bitfit: (name) => isOwn(name) || (base.has(name) && name.endsWith(".bias")),
    // Houlsby et al. 2019, without their layer norms.
    adapter: isOwn,
    // Lester et al. 2021.
    prompt: isOwn,
    // Li and Liang 2021.
    prefix: isOwn,
    all: () => true,
    // The final layer norm stays frozen, as in the paper's program.
    last_block: (name) => name.startsWith(last) || isHead(name),
    last_layer: isHead,
  };
  return [...shapes].map(([name, shape]) => {
    const trained = isTrained[mode](name);
    // There are few positions: they are not quantised.
    const isRounded =
      !trained && shape.length === 2 && base.has(name) && !(isBlockDtype(dtype) && name === "wpe.weight");
    return { name, shape, isTrained: trained, dtype: isRounded ? dtype : "f32" };
  });
}

/** Throws ConfigError if a row of a matrix is not a whole number of blocks. */
function checkWidths(config: GPT2Config, dtype: BlockDtype): void {
  for (const [name, width] of [
    ["n_embd", config.n_embd],
    ["n_inner", innerWidth(config)],
  ] as const)
    if (width % BLOCKS[dtype] !== 0)
      throw new ConfigError("unsupported-dtype", `the model's rows cannot be kept in ${dtype}`, {
        expected: `${name}, a multiple of ${BLOCKS[dtype]}: the weights that share a scale`,
        found: String(width),
        hint: "use --dtype f16",
      });
}

/** Number of trainable parameters. */
export function trainableCount(spec: ModelSpec): number {
  return parameterList(spec).reduce((sum, { shape, isTrained }) => sum + (isTrained ? numel(shape) : 0), 0);
}

/** The factor of each parameter's learning rate. */
export function learningRatio({ lr_ratio = 1 }: ModelSpec): (name: string) => number {
  return (name) => (/^lora\..*\.B$/.test(name) ? lr_ratio : 1);
}

/** The factor of each adapter, by its site. */
export function adapterScales({ config, lora }: ModelSpec): Map<string, number> {
  return new Map((lora ? loraSites(config, lora) : []).map(({ site, scale }) => [site, scale]));
}

/** The parts of a block that can be trained, in the order of the forward pass. */
const STAGES = [
  ...["ln_1", "attn.c_attn", "attn.c_proj", "attn.adapter.down", "attn.adapter.up"],
  ...["ln_2", "mlp.c_fc", "mlp.c_proj", "mlp.adapter.down", "mlp.adapter.up"],
] as const;

/** The first stage of block l; that of block n_layer is ln_f. */
const blockStage = (l: number) => 1 + l * STAGES.length;

const headStage = ({ config }: ModelSpec) => blockStage(config.n_layer) + 1;

/** The stage of a parameter in forward order: 0 for the embedding, then those of the blocks, ln_f, the head. */
function forwardStage(name: string, spec: ModelSpec): number {
  const head = headStage(spec);
  const site = name.replace(/^lora\./, "");
  if (/^(wte|wpe|prompt)\./.test(site)) return 0;
  // A prefix is used by the attention of every block.
  if (site.startsWith("prefix.")) return blockStage(0) + STAGES.indexOf("attn.c_attn");
  if (site.startsWith("ln_f.")) return head - 1;
  if (/^(lm_)?head\b/.test(site)) return head;
  const [, block, rest] = /^h\.(\d+)\.(.*)$/.exec(site)!;
  const adapters: Partial<Record<string, readonly (readonly [string, number])[]>> = ADAPTERS;
  const stage = STAGES.findIndex(
    (s) => rest!.startsWith(`${s}.`) || adapters[s]?.some(([adapter]) => rest!.startsWith(`${adapter}.`)),
  );
  return blockStage(Number(block)) + stage;
}

/** The lowest stage with a trained parameter. */
function lowestStage(spec: ModelSpec): number {
  const trained = parameterList(spec).filter(({ isTrained }) => isTrained);
  return Math.min(...trained.map(({ name }) => forwardStage(name, spec)));
}

/** Returns whether an earlier stage than the parameter's is trained, so that gradients must flow further back. */
export function trainsBelow(spec: ModelSpec): (name: string) => boolean {
  const lowest = lowestStage(spec);
  return (name) => lowest < forwardStage(name, spec);
}

/**
 * Number of frozen blocks below the lowest trained parameter: n_layer if only the head of a classifier is trained. 0
 * for a language model: its head is its embedding.
 */
export function frozenBlocks(spec: ModelSpec): number {
  if (spec.task.objective === "lm") return 0;
  const { n_layer } = spec.config;
  const lowest = lowestStage(spec);
  if (lowest >= headStage(spec)) return n_layer;
  return Math.max(0, Math.min(n_layer - 1, Math.floor((lowest - 1) / STAGES.length)));
}

/** The frozen prefix or the suffix of a model whose frozenBlocks() are not 0, or all of it. */
export interface Part {
  /** Its blocks: `first` .. `end` - 1. A suffix without blocks begins at n_layer, with the head. */
  first: number;
  end: number;
  /** The name of the tensor between the two parts; null in a whole model. */
  boundary: string | null;
  has: (parameter: string) => boolean;
}

/** The frozen prefix is everything below the lowest trained block, or below the head; the suffix is the rest. */
export function modelPart(spec: ModelSpec, part?: "prefix" | "suffix"): Part {
  const { n_layer } = spec.config;
  if (!part) return { first: 0, end: n_layer, boundary: null, has: () => true };
  const frozen = frozenBlocks(spec);
  const border = frozen === n_layer ? headStage(spec) : blockStage(frozen);
  return {
    first: part === "suffix" ? frozen : 0,
    end: part === "prefix" ? frozen : n_layer,
    boundary: frozen === n_layer ? "final_norm" : `block.${frozen - 1}`,
    has: (name) => forwardStage(name, spec) < border === (part === "prefix"),
  };
}
