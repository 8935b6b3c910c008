/**
 * PEFT's adapter_config.json: which modules of a GPT-2 have an adapter, with which rank and scale, and what else learned.
 * Names are matched as PEFT matches them; what changes the arithmetic in a way that is not computed here is refused.
 */
import { type GPT2Config, INITS, type LoraConfig, loraScale } from "../config.ts";
import { ConfigError, FormatError } from "../errors.ts";
import type { Effort } from "./expression.ts";
import { LIMITS } from "./limits.ts";
import { anyPart, endings, firstKey, layerOf, newEffort, suffixes, wholeName } from "./name-patterns.ts";

/** A parsed adapter_config.json. */
export type PeftConfig = Record<string, unknown>;

/** A module that can have an adapter, by its name in the model: `transformer.h.3.attn.c_attn`, `lm_head`, `score`. */
export interface PeftModule {
  name: string;
  r: number;
  scale: number;
}

/** What an adapter_config.json asks for. */
export interface PeftPlan {
  /** As the file says it; null where PEFT was given no task. */
  task: "SEQ_CLS" | "CAUSAL_LM" | null;
  adapted: PeftModule[];
  /** Whether the biases of the adapted modules learned too. */
  biases: boolean;
  /** Whether modules_to_save names this module, so that it is saved whole. */
  saves: (module: string) => boolean;
  /** The settings that the patterns depart from. */
  lora: Pick<LoraConfig, "r" | "lora_alpha" | "scaling" | "init">;
}

/** Settings that change the arithmetic, with what they must be (or be left out, or empty). */
const PLAIN: Record<string, readonly unknown[]> = {
  peft_type: ["LORA"],
  task_type: ["SEQ_CLS", "CAUSAL_LM"],
  bias: ["none", "lora_only"],
  use_dora: [false],
  lora_bias: [false],
  use_qalora: [false],
  // PiSSA, OLoRA and their like change the base model's weights when training begins.
  init_lora_weights: [true, false, "gaussian"],
};

/** Settings that say which modules, or nothing about the product; every other one that is set is a variant. */
const KNOWN = new Set([
  ...["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"],
  ...["r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out"],
  ...["lora_dropout", "inference_mode", "base_model_name_or_path", "revision", "auto_mapping", "peft_version"],
  ...["megatron_core", "qalora_group_size", "runtime_config", "ensure_weight_tying"],
]);

/** What PEFT takes where the file says nothing. */
const DEFAULTS: PeftConfig = { r: 8, lora_alpha: 8, target_modules: ["c_attn"] };

const withoutNull = (json: unknown): PeftConfig =>
  Object.fromEntries(Object.entries((json ?? {}) as PeftConfig).filter(([, value]) => value !== null));

const isEmpty = (value: unknown) =>
  value === false || value === "" || (typeof value === "object" && Object.keys(value as object).length === 0);

const show = (value: unknown) => JSON.stringify(value) ?? "nothing";

/** A file's settings, with what their errors say and what their expressions may cost. */
interface Source {
  config: PeftConfig;
  where: string;
  effort: Effort;
}

/** Throws ConfigError for variants that are not computed here, FormatError for settings that are not PEFT's. */
export function parsePeftConfig(json: unknown, model: GPT2Config, where: string): PeftPlan {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new FormatError("an adapter's configuration is not a JSON object", { where, found: show(json) });
  const config = { ...DEFAULTS, ...withoutNull(json) };
  const source: Source = { config, where, effort: newEffort() };
  refuseVariants(config, where);
  const task = (config.task_type ?? null) as PeftPlan["task"];
  const toSave = [
    ...strings(source, "modules_to_save"),
    // PEFT saves a classifier's head whether it is named or not.
    ...(task === "SEQ_CLS" ? ["classifier", "score"] : []),
  ];
  const isSaved = endings(toSave);
  // What is inside a module is saved with it.
  const saves = (module: string) => outer(module).some(isSaved);
  const lora = {
    r: config.r as number,
    lora_alpha: config.lora_alpha as number,
    scaling: config.use_rslora === true ? "alpha/sqrt(r)" : "alpha/r",
    init: config.init_lora_weights === "gaussian" ? INITS[0] : INITS[1],
  } as const;
  const isTarget = targetMatcher(source, toSave);
  const rankOf = numberOf(source, "rank_pattern", "r");
  const alphaOf = numberOf(source, "alpha_pattern", "lora_alpha");
  const adapted = candidates(model, task)
    .filter(isTarget)
    .map((name): PeftModule => {
      const r = rankOf(name);
      if (!Number.isSafeInteger(r) || r < 1)
        throw new FormatError("the rank r makes no sense", {
          where,
          expected: "an integer of 1 or more",
          found: show(r),
        });
      const scale = loraScale({ ...lora, r, lora_alpha: alphaOf(name) });
      if (!Number.isFinite(Math.fround(scale)))
        throw new FormatError(`the scale of ${name} is beyond all floats`, { where, found: show(scale) });
      return { name, r, scale };
    });
  if (adapted.length === 0)
    throw new ConfigError("target_modules hits no matrix of the model", {
      where,
      expected: "some of c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj",
      found: show(config.target_modules),
    });
  const stranger = ["transformer.wte", "transformer.wpe"].find((name) => isTarget(name));
  if (stranger !== undefined)
    throw new ConfigError(`an adapter on ${stranger} is not supported`, { where, found: show(config.target_modules) });
  const untied = ["transformer.wte", "lm_head"].find((name) => task !== "SEQ_CLS" && saves(name));
  if (untied !== undefined)
    throw new ConfigError(`${untied} in modules_to_save is not supported for a language model`, {
      where,
      expected: "the token table and the head tied to each other",
    });
  return { task, adapted, biases: config.bias === "lora_only", saves, lora };
}

/** A module's name and those of the modules around it: `a.b.c`, `a.b`, `a`. */
function outer(module: string): string[] {
  const parts = module.split(".");
  return parts.map((_, i) => parts.slice(0, parts.length - i).join("."));
}

/** Every module that an adapter can stand beside, in the order of the forward pass. */
function candidates({ n_layer }: GPT2Config, task: PeftPlan["task"]): string[] {
  const kinds = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];
  const blocks = Array.from({ length: n_layer }, (_, layer) => kinds.map((kind) => `transformer.h.${layer}.${kind}`));
  return [...blocks.flat(), ...(task === "SEQ_CLS" ? [] : ["lm_head"]), ...(task === "CAUSAL_LM" ? [] : ["score"])];
}

function refuseVariants(config: PeftConfig, where: string): void {
  for (const [key, allowed] of Object.entries(PLAIN)) {
    const value = config[key];
    // The type is what makes the file an adapter of LoRA at all: it may not be left out.
    if (value === undefined ? key !== "peft_type" : allowed.includes(value)) continue;
    throw new ConfigError(`PEFT's ${key} = ${show(value)} is not supported`, {
      where,
      expected: allowed.map(show).join(" or "),
    });
  }
  const variants = Object.keys(config).filter(
    (key) => !Object.hasOwn(PLAIN, key) && !KNOWN.has(key) && !isEmpty(config[key]),
  );
  if (variants.length > 0)
    throw new ConfigError(
      `PEFT's ${variants.map((key) => `${key} = ${show(config[key])}`).join(", ")} is not supported`,
      {
        where,
        expected: "plain LoRA: such a setting changes what is computed",
      },
    );
}

/** PEFT's check_target_module_exists. */
function targetMatcher(source: Source, toSave: readonly string[]): (module: string) => boolean {
  const { config, where, effort } = source;
  const isExcluded = matcher(source, "exclude_modules");
  const isInSaved = anyPart(toSave, { setting: "modules_to_save", where }, effort);
  const isFree = (module: string) => !isExcluded(module) && !isInSaved(module);
  const { target_modules: targets } = config;
  const layers = layerMatcher(source);
  if (typeof targets === "string" && layers !== undefined)
    throw new ConfigError("layers_to_transform beside a target_modules that is one expression", {
      where,
      expected: "target_modules as a list of names",
      found: show(targets),
      hint: "PEFT does not load such an adapter either",
    });
  // All but the output layer.
  if (typeof targets === "string" && targets.toLowerCase() === "all-linear")
    return (module) => module.startsWith("transformer.h.") && isFree(module);
  const isHit = matcher(source, "target_modules");
  // A module that is named in full is adapted whatever the layers.
  const named = new Set(Array.isArray(targets) ? targets : []);
  return (module) => isFree(module) && (named.has(module) || (isHit(module) && (layers?.(module) ?? true)));
}

/** A setting that is a regular expression for whole names, or a list of names and suffixes. */
function matcher(source: Source, setting: string): (module: string) => boolean {
  const { config, where, effort } = source;
  const value = config[setting];
  if (typeof value !== "string") return suffixes(strings(source, setting));
  return value === "" ? () => false : wholeName(value, { setting, where }, effort);
}

/** Whether a module is in one of the blocks with adapters; undefined where that is not said. */
function layerMatcher(source: Source): ((module: string) => boolean) | undefined {
  const { config, where, effort } = source;
  const { layers_to_transform: wanted, layers_pattern: named } = config;
  const layers: unknown = typeof wanted === "number" ? [wanted] : (wanted ?? []);
  if (!Array.isArray(layers) || !layers.every(Number.isInteger))
    throw new FormatError("layers_to_transform is no list of layers", { where, found: show(wanted) });
  const patterns = typeof named === "string" ? (named === "" ? [] : [named]) : strings(source, "layers_pattern");
  if (layers.length === 0) return undefined;
  const indexOf = layerOf(patterns, { setting: "layers_pattern", where }, effort);
  const chosen = new Set<number | undefined>(layers);
  return (module) => chosen.has(indexOf(module) ?? Number.NaN);
}

/** The value of the first key of a pattern that matches a module's name, or the usual one. */
function numberOf(source: Source, setting: string, usual: string): (module: string) => number {
  const { config, where, effort } = source;
  const pattern = config[setting] ?? {};
  if (typeof pattern !== "object" || Array.isArray(pattern))
    throw new FormatError(`${setting} does not map names to numbers`, { where, found: show(pattern) });
  const values = new Map(Object.entries(pattern));
  checkCount(setting, values.size, where);
  const keyOf = firstKey([...values.keys()], { setting, where }, effort);
  return (module) => {
    const key = keyOf(module);
    const value = key === undefined ? config[usual] : values.get(key);
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new FormatError(`${key === undefined ? usual : setting} gives no number for ${module}`, {
      where,
      expected: "a number",
      found: show(value),
    });
  };
}

function strings({ config, where }: Source, setting: string): string[] {
  const value = config[setting] ?? [];
  if (!Array.isArray(value) || !value.every((one) => typeof one === "string"))
    throw new FormatError(`${setting} is no list of names`, { where, found: show(value) });
  checkCount(setting, value.length, where);
  return value;
}

function checkCount(setting: string, count: number, where: string): void {
  if (count > LIMITS.names)
    throw new FormatError(`${setting} has too many names`, {
      where,
      expected: `at most ${LIMITS.names}`,
      found: String(count),
    });
}
