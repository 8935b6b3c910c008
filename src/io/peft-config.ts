/**
 * PEFT's adapter_config.json: which modules of a GPT-2 have an adapter, with which rank and scale, and what else learned.
 * Names are matched as PEFT matches them; what changes the arithmetic in a way that is not computed here is refused.
 */
import { type GPT2Config, INITS, type LoraConfig, loraScale } from "../config.ts";
import { ConfigError, FormatError } from "../errors.ts";

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

/** Throws ConfigError for variants that are not computed here, FormatError for settings that are not PEFT's. */
export function parsePeftConfig(json: unknown, model: GPT2Config, where: string): PeftPlan {
  const config = { ...DEFAULTS, ...withoutNull(json) };
  refuseVariants(config, where);
  const task = (config.task_type ?? null) as PeftPlan["task"];
  const toSave = [
    ...strings(config, "modules_to_save", where),
    // PEFT saves a classifier's head whether it is named or not.
    ...(task === "SEQ_CLS" ? ["classifier", "score"] : []),
  ];
  const saves = (module: string) =>
    toSave.some((name) => matcher(`(?:^|.*\\.)${name}(?:$|\\..*)`, "modules_to_save", where).test(module));
  const lora = {
    r: config.r as number,
    lora_alpha: config.lora_alpha as number,
    scaling: config.use_rslora === true ? "alpha/sqrt(r)" : "alpha/r",
    init: config.init_lora_weights === "gaussian" ? INITS[0] : INITS[1],
  } as const;
  const isTarget = targetMatcher(config, saves, where);
  const adapted = candidates(model, task)
    .filter(isTarget)
    .map((name): PeftModule => {
      const r = pattern(config, "rank_pattern", name, "r", where);
      const lora_alpha = pattern(config, "alpha_pattern", name, "lora_alpha", where);
      if (!Number.isSafeInteger(r) || r < 1)
        throw new FormatError("the rank r makes no sense", {
          where,
          expected: "an integer of 1 or more",
          found: show(r),
        });
      return { name, r, scale: loraScale({ ...lora, r, lora_alpha }) };
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
function targetMatcher(config: PeftConfig, saves: PeftPlan["saves"], where: string): (module: string) => boolean {
  const bySuffix = (names: string[]) => (module: string) =>
    names.some((name) => module === name || module.endsWith(`.${name}`));
  const excluded = matches(config, "exclude_modules", bySuffix, where);
  const { target_modules: targets } = config;
  // All but the output layer.
  if (targets === "all-linear")
    return (module) => module.startsWith("transformer.h.") && !excluded(module) && !saves(module);
  const hit = matches(config, "target_modules", bySuffix, where);
  const inLayers = typeof targets === "string" ? () => true : layerMatcher(config, where);
  // A module that is named in full is adapted whatever the layers.
  const named = (module: string) => Array.isArray(targets) && targets.includes(module);
  return (module) => !excluded(module) && !saves(module) && (named(module) || (hit(module) && inLayers(module)));
}

/** A setting that is a regular expression for whole names, or a list of names and suffixes. */
function matches(
  config: PeftConfig,
  key: string,
  bySuffix: (names: string[]) => (module: string) => boolean,
  where: string,
): (module: string) => boolean {
  const value = config[key];
  if (typeof value !== "string") return bySuffix(strings(config, key, where));
  const expression = matcher(`^(?:${value})$`, key, where);
  return (module) => expression.test(module);
}

function layerMatcher(config: PeftConfig, where: string): (module: string) => boolean {
  const { layers_to_transform: wanted, layers_pattern: named } = config;
  const layers = typeof wanted === "number" ? [wanted] : ((wanted ?? []) as number[]);
  if (!Array.isArray(layers) || !layers.every(Number.isInteger))
    throw new FormatError("layers_to_transform is no list of layers", { where, found: show(wanted) });
  if (layers.length === 0) return () => true;
  const patterns = typeof named === "string" ? [named] : strings(config, "layers_pattern", where);
  const used = patterns.filter((one) => one !== "");
  const expressions = (used.length > 0 ? used : ["[^.]*"]).map((one) =>
    matcher(`^(?:|.*?\\.)${one}\\.(\\d+)\\.`, "layers_pattern", where),
  );
  return (module) => {
    const layer = expressions.map((expression) => expression.exec(module)?.[1]).find((found) => found !== undefined);
    return layer !== undefined && layers.includes(Number(layer));
  };
}

/** The value of the first key of a pattern that matches a module's name, or the usual one. */
function pattern(config: PeftConfig, key: string, module: string, usual: string, where: string): number {
  const entries = Object.entries((config[key] ?? {}) as Record<string, unknown>);
  const hit = entries.find(([expression]) => matcher(`^(?:.*\\.)?(?:${expression})$`, key, where).test(module));
  const value = hit === undefined ? config[usual] : hit[1];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new FormatError(`${hit === undefined ? usual : key} gives no number for ${module}`, {
    where,
    expected: "a number",
    found: show(value),
  });
}

function strings(config: PeftConfig, key: string, where: string): string[] {
  const value = config[key] ?? [];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new FormatError(`${key} is no list of names`, { where, found: show(value) });
}

/** An expression of Python's, most of which mean the same here; throws ConfigError for those that do not. */
function matcher(expression: string, key: string, where: string): RegExp {
  try {
    return new RegExp(expression);
  } catch (cause) {
    throw new ConfigError(`${key} is a regular expression that is not understood`, { where, found: expression, cause });
  }
}
