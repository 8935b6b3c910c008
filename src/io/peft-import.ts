/** Adapters that PEFT itself has trained, taken over where they are what we can express; refused by name where not. */
import type { GPT2Config, LoraConfig, Target } from "../config.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { loraSite } from "../names.ts";
import { expectShape, showShape } from "../tensor.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import { list } from "./common.ts";
import type { NamedTensor, Tensors } from "./peft-layout.ts";

const ADAPTED =
  /^base_model\.model\.(transformer\.h\.(\d+)\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)|lm_head)\.lora_(A|B)\.weight$/;
const SCORE = "base_model.model.score.weight";

/** Settings of PEFT that change the arithmetic, with what they must be (or be left out, or empty). */
const PLAIN: Record<string, readonly unknown[]> = {
  peft_type: ["LORA"],
  task_type: ["SEQ_CLS", "CAUSAL_LM"],
  bias: ["none"],
  use_dora: [false],
  lora_bias: [false],
  use_qalora: [false],
  layer_replication: [null],
  alora_invocation_tokens: [null],
  // PiSSA, OLoRA and their like change the base model's weights when training begins.
  init_lora_weights: [true, false, "gaussian"],
};

interface Module {
  /** `transformer.h.3.attn.c_attn`, `lm_head`. */
  name: string;
  layer: number;
  /** `attn.c_attn`, `lm_head`. */
  kind: string;
  A: NamedTensor;
  B: NamedTensor;
}

/**
 * An adapter of PEFT, by its parsed adapter_config.json and its tensors, over a base model of the dimensions `model`.
 * c_attn's one adapter becomes those of q, k and v, which share its A. Throws ConfigError for variants of LoRA that are
 * not supported and for adapters whose modules differ in rank or scaling, FormatError or ShapeError for tensors that do
 * not fit the model.
 */
export function importPeft(
  json: unknown,
  peft: Tensors,
  model: GPT2Config,
  where: string,
): { meta: AdapterMeta; tensors: Tensors } {
  const config = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>;
  refuseVariants(config, where);
  const modules = findModules(peft, where);
  const lora = commonLora(config, modules, where);
  const tensors: Tensors = new Map();
  for (const module of modules) addModule(module, model, lora.r, tensors);
  lora.target_modules = targetsOf(modules);
  const classifies = config.task_type === "SEQ_CLS";
  const score = peft.get(SCORE);
  if (classifies !== (score !== undefined))
    throw new FormatError(`${SCORE} is ${classifies ? "missing" : "there, but the task has no classes"}`, { where });
  const labels = score === undefined ? [] : Array.from({ length: score.shape[0] ?? 0 }, (_, i) => `LABEL_${i}`);
  if (score !== undefined) {
    expectShape(SCORE, score.shape, [labels.length, model.n_embd]);
    tensors.set("head.weight", score);
  }
  const meta: AdapterMeta = {
    base_model: String(config.base_model_name_or_path ?? ""),
    model,
    mode: "lora",
    lora,
    // transformers reads a classifier's logits at the last token that is no padding, and its head has no bias.
    task: {
      objective: classifies ? "classification" : "lm",
      num_labels: labels.length,
      pooling: "last-token",
      head_bias: false,
    },
    labels,
    settings: {},
  };
  return { meta, tensors };
}

function refuseVariants(config: Record<string, unknown>, where: string): void {
  for (const [key, allowed] of Object.entries(PLAIN)) {
    const value = config[key];
    const absent = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    // The two types are what makes the file an adapter of LoRA at all: they may not be left out.
    if (absent ? !key.endsWith("_type") : allowed.includes(value)) continue;
    throw new ConfigError(`PEFT's ${key} = ${JSON.stringify(value)} is not supported`, {
      where,
      expected: allowed.map((one) => JSON.stringify(one)).join(" or "),
    });
  }
}

function findModules(peft: Tensors, where: string): Module[] {
  const found = new Map<string, Partial<Module> & { name: string; layer: number; kind: string }>();
  const extra: string[] = [];
  for (const [key, tensor] of peft) {
    const match = key.match(ADAPTED);
    if (match === null) {
      if (key !== SCORE) extra.push(key);
      continue;
    }
    const [, name, layer, kind, part] = match;
    const module = found.get(name!) ?? { name: name!, layer: Number(layer ?? 0), kind: kind ?? name! };
    module[part as "A" | "B"] = tensor;
    found.set(name!, module);
  }
  if (extra.length > 0)
    throw new FormatError("the adapter has tensors that are not supported", {
      where,
      expected: "LoRA on c_attn, c_proj, c_fc or lm_head of a GPT-2, and score.weight",
      found: list(extra),
    });
  const half = [...found.values()].filter(({ A, B }) => A === undefined || B === undefined);
  if (half.length > 0 || found.size === 0)
    throw new FormatError("the adapter lacks tensors", {
      where,
      expected: "lora_A.weight and lora_B.weight of each module",
      found: half.length > 0 ? `one of them for ${list(half.map(({ name }) => name))}` : "none",
    });
  return [...found.values()] as Module[];
}

/** The one rank and alpha of all modules. PEFT's patterns may set them module by module. */
function commonLora(config: Record<string, unknown>, modules: Module[], where: string): LoraConfig {
  const pattern = (patterns: unknown, name: string, otherwise: unknown) => {
    const hit = Object.entries((patterns ?? {}) as Record<string, unknown>).find(([key]) =>
      new RegExp(`^(.*\\.)?(${key})$`).test(name),
    );
    return hit === undefined ? otherwise : hit[1];
  };
  const settings = modules.map(({ name, A }) => {
    const r = pattern(config.rank_pattern, name, config.r);
    if (r !== A.shape[0])
      throw new FormatError(`lora_A of ${name} does not have the rank of the configuration`, {
        where,
        expected: `${r} rows`,
        found: showShape(A.shape),
      });
    return { name, r: r as number, alpha: pattern(config.alpha_pattern, name, config.lora_alpha) as number };
  });
  const first = settings[0]!;
  const other = settings.find(({ r, alpha }) => r !== first.r || alpha !== first.alpha);
  if (other !== undefined)
    throw new ConfigError("the adapter's modules differ in rank or alpha", {
      where,
      expected: `r ${first.r}, alpha ${first.alpha} as for ${first.name}`,
      found: `r ${other.r}, alpha ${other.alpha} for ${other.name}`,
    });
  return {
    r: first.r,
    lora_alpha: first.alpha,
    scaling: config.use_rslora === true ? "alpha/sqrt(r)" : "alpha/r",
    init: config.init_lora_weights === "gaussian" ? "gaussian" : "kaiming",
    target_modules: [],
  };
}

const TARGETS_OF: Record<string, Target[]> = {
  "attn.c_attn": ["q", "k", "v"],
  "attn.c_proj": ["o"],
  "mlp.c_fc": ["fc"],
  "mlp.c_proj": ["proj"],
  lm_head: ["head"],
};

function targetsOf(modules: Module[]): Target[] {
  return Object.keys(TARGETS_OF)
    .filter((kind) => modules.some((module) => module.kind === kind))
    .flatMap((kind) => TARGETS_OF[kind]!);
}

function addModule({ name, layer, kind, A, B }: Module, { n_embd: C }: GPT2Config, r: number, out: Tensors): void {
  if (kind !== "attn.c_attn") {
    const site = loraSite(TARGETS_OF[kind]![0]!, layer);
    out.set(`lora.${site}.A`, A).set(`lora.${site}.B`, B);
    return;
  }
  expectShape(`lora_B of ${name}`, B.shape, [3 * C, r]);
  for (const [third, target] of TARGETS_OF[kind]!.entries()) {
    const rows = B.data.slice(third * C * r, (third + 1) * C * r);
    out.set(`lora.${loraSite(target, layer)}.A`, { shape: A.shape, data: A.data.slice() });
    out.set(`lora.${loraSite(target, layer)}.B`, { shape: [C, r], data: rows });
  }
}
