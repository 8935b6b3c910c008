/**
 * PEFT's adapter_config.json of LoRA: which modules of a model have an adapter, their ranks and scales, and what else
 * was trained. Names are matched as PEFT matches them. Settings that change the arithmetic in an unsupported way are
 * refused.
 */

import { checkKinds, inRange, show, withoutNulls } from "../../checks.ts";
import { type ModelConfig, traits } from "../../config.ts";
import { ConfigError, FormatError } from "../../errors.ts";
import { INITS, type LoraConfig, loraScale, RANKS } from "../../methods/lora.ts";
import { type Site, sitesByName } from "../../names.ts";
import { hasHead, OBJECTIVES, type Objective, TASKS } from "../../tasks/index.ts";
import type { Family } from "../layouts.ts";
import { LIMITS } from "../limits.ts";
import type { PatternPlace } from "./expression.ts";
import { anyPart, endings, firstKey, layerFinder, suffixes, wholeName } from "./name-patterns.ts";
import { HEADS } from "./peft-form.ts";
import { moduleName } from "./peft-lora.ts";
import * as names from "./peft-names.ts";

export type TaskType = (typeof TASKS)[Objective]["peft"];
export const TASK_TYPES = [...new Set(OBJECTIVES.map((objective) => TASKS[objective].peft))];

/** The tasks of one of PEFT's types, which have the same head. */
export const tasksOf = (type: TaskType) => OBJECTIVES.filter((objective) => TASKS[objective].peft === type);

/** A parsed adapter_config.json. */
export type PeftConfig = Record<string, unknown>;

interface PeftModule {
  /** In the model: `transformer.h.3.attn.c_attn`, `model.layers.3.self_attn.q_proj`, `lm_head`, `score`. */
  name: string;
  site: Site;
  r: number;
  scale: number;
}

/** The contents of an adapter_config.json, resolved for a model. */
export interface PeftPlan {
  /** As in the file; null if PEFT had no task type. */
  task: TaskType | null;
  adapted: PeftModule[];
  /** Whether the biases of the adapted modules were trained as well. */
  biases: boolean;
  /** Whether the adapted modules have DoRA's magnitudes. */
  dora: boolean;
  /** Whether modules_to_save includes this module. */
  saves: (module: string) => boolean;
  /** The settings of modules that no pattern matches. */
  lora: Pick<LoraConfig, "r" | "lora_alpha" | "scaling" | "init" | "lora_dropout">;
}

/** The settings of a method. Any other setting is an unsupported variant. */
export interface Rules {
  /** What is supported. */
  method: string;
  /** Settings that change the arithmetic, with their supported values. They may also be absent. */
  plain: Record<string, readonly unknown[]>;
  /** Settings that are read, or do not affect the results. */
  known: readonly string[];
}

/** Settings of every method. */
const COMMON = [
  ...["peft_type", "task_type", "modules_to_save", "inference_mode", "base_model_name_or_path", "revision"],
  ...["auto_mapping", "peft_version", "runtime_config"],
];

const LORA: Rules = {
  method: "LoRA or DoRA",
  plain: {
    task_type: TASK_TYPES,
    bias: ["none", "lora_only"],
    use_dora: [true, false],
    use_rslora: [true, false],
    lora_bias: [false],
    use_qalora: [false],
    // PiSSA, OLoRA and similar methods change the base model's weights before training.
    init_lora_weights: [true, false, "gaussian"],
  },
  known: [
    ...["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "r", "lora_alpha"],
    ...["rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_dropout", "megatron_core", "qalora_group_size"],
    "ensure_weight_tying",
  ],
};

/** What PEFT adapts unless modules are named. */
const USUAL: Readonly<Record<Family, string[]>> = {
  gpt2: ["c_attn"],
  llama: ["q_proj", "v_proj"],
  gpt_neox: ["query_key_value"],
};

/** The settings of a parsed adapter_config.json that are not null. Throws FormatError if it is not an object. */
export function givenSettings(json: unknown, where: string): PeftConfig {
  check({ "the adapter's configuration": json }, { "the adapter's configuration": "object" }, where);
  return withoutNulls(json as object);
}

const check: typeof checkKinds = (record, fields, where) =>
  checkKinds(record, fields, where, { code: "invalid-adapter-config" });

const isEmpty = (value: unknown) =>
  value === false || value === "" || (typeof value === "object" && Object.keys(value as object).length === 0);

/** A file's settings, with its name for errors and the budget for its regular expressions. */
interface Source extends Omit<PatternPlace, "setting"> {
  config: PeftConfig;
}

/** Throws ConfigError for variants of LoRA that are not supported, FormatError for invalid settings. */
export function parsePeftConfig(json: unknown, model: ModelConfig, where: string): PeftPlan {
  const target_modules = USUAL[traits(model).family];
  const config: PeftConfig = { r: 8, lora_alpha: 8, target_modules, ...givenSettings(json, where) };
  const source: Source = { config, where, budget: { steps: LIMITS.expressionSteps } };
  refuseVariants(config, LORA, where);
  const task = (config.task_type ?? null) as PeftPlan["task"];
  const toSave = [
    ...strings(source, "modules_to_save"),
    // PEFT always saves it.
    ...(ownsHead(task) ? HEADS : []),
  ];
  const isSaved = endings(toSave);
  // A module is saved with its submodules.
  const saves = (module: string) => outer(module).some(isSaved);
  const lora = {
    r: config.r as number,
    lora_alpha: config.lora_alpha as number,
    scaling: config.use_rslora === true ? "alpha/sqrt(r)" : "alpha/r",
    init: config.init_lora_weights === "gaussian" ? INITS[0] : INITS[1],
    // `validateLora` checks it.
    ...((config.lora_dropout ?? 0) === 0 ? {} : { lora_dropout: config.lora_dropout as number }),
  } as const;
  const isTarget = targetMatcher(source, toSave);
  const moduleRank = patternNumber(source, "rank_pattern", "r");
  const moduleAlpha = patternNumber(source, "alpha_pattern", "lora_alpha");
  const known = candidates(model, task);
  const adapted = known
    .filter(({ name }) => isTarget(name))
    .map(({ name, site }): PeftModule => {
      const r = moduleRank(name);
      check({ r }, { r: inRange(RANKS) }, where);
      const scale = loraScale({ ...lora, r, lora_alpha: moduleAlpha(name) });
      if (!Number.isFinite(Math.fround(scale)))
        throw new FormatError("invalid-adapter-config", `the scale of ${name} overflows float32`, {
          where,
          found: show(scale),
        });
      return { name, site, r, scale };
    });
  if (adapted.length === 0)
    throw new ConfigError("no-matching-target", "target_modules matches no matrix of the model", {
      where,
      expected: `some of ${[...new Set(known.map(({ name }) => name.replace(/.*\./, "")))].join(", ")}`,
      found: show(config.target_modules),
    });
  const canEmbed = ownsHead(task) && config.use_dora !== true;
  const table = moduleName({ target: "wte", block: null }, model, names);
  const unsupported = [...(canEmbed ? [] : [table]), "transformer.wpe"].find((name) => isTarget(name));
  if (unsupported !== undefined)
    throw new ConfigError("unsupported-adapter-config", `an adapter on ${unsupported} is not supported`, {
      where,
      found: show(config.target_modules),
      ...(unsupported === table ? { expected: "an adapter of it in a classifier, without DoRA" } : {}),
    });
  const isTied = !ownsHead(task) && model.tie_word_embeddings !== false;
  const head = moduleName({ target: "head", block: null }, model, names);
  const untied = [table, head].find((name) => isTied && saves(name));
  if (untied !== undefined)
    throw new ConfigError(
      "unsupported-adapter-config",
      `${untied} in modules_to_save is not supported for a language model`,
      {
        where,
        expected: "the token table and the head to stay tied",
        hint: "it is where the base model's config has tie_word_embeddings = false",
      },
    );
  return { task, adapted, biases: config.bias === "lora_only", dora: config.use_dora === true, saves, lora };
}

/** Whether what is learned has a head of its own; false where PEFT had no task type. */
const ownsHead = (task: PeftPlan["task"]) => task !== null && tasksOf(task).some((objective) => hasHead({ objective }));

/** The name of a module and of all modules that contain it: `a.b.c`, `a.b`, `a`. */
function outer(module: string): string[] {
  const parts = module.split(".");
  return parts.map((_, i) => parts.slice(0, parts.length - i).join("."));
}

/** Every module that can have an adapter, in the order of the forward pass. */
function candidates(model: ModelConfig, task: PeftPlan["task"]): Pick<PeftModule, "name" | "site">[] {
  const known = new Map<string, Site>();
  // The first of those in one module is that of the whole: c_attn, before q.
  for (const site of sitesByName(model).values()) {
    const name = moduleName(site, model, names);
    if (!known.has(name)) known.set(name, site);
  }
  if (ownsHead(task)) known.delete(moduleName({ target: "head", block: null }, model, names));
  if (task === null || ownsHead(task)) known.set("score", { target: "head", block: null });
  return [...known].map(([name, site]) => ({ name, site }));
}

/** Throws ConfigError for settings that the rules do not have. */
export function refuseVariants(config: PeftConfig, { method, plain, known }: Rules, where: string): void {
  for (const [key, allowed] of Object.entries(plain))
    if (config[key] !== undefined && !allowed.includes(config[key]))
      throw new ConfigError("unsupported-adapter-config", `PEFT's ${key} = ${show(config[key])} is not supported`, {
        where,
        expected: allowed.map(show).join(" or "),
      });
  const names = new Set([...Object.keys(plain), ...COMMON, ...known]);
  const variants = Object.keys(config).filter((key) => !names.has(key) && !isEmpty(config[key]));
  if (variants.length > 0)
    throw new ConfigError(
      "unsupported-adapter-config",
      `PEFT's ${variants.map((key) => `${key} = ${show(config[key])}`).join(", ")} is not supported`,
      {
        where,
        expected: `${method}: these settings change the results`,
      },
    );
}

/** PEFT's check_target_module_exists. */
function targetMatcher(source: Source, toSave: readonly string[]): (module: string) => boolean {
  const { config, where } = source;
  const isExcluded = matcher(source, "exclude_modules");
  const isInSaved = anyPart(toSave, { ...source, setting: "modules_to_save" });
  const isFree = (module: string) => !isExcluded(module) && !isInSaved(module);
  const { target_modules: targets } = config;
  const layers = layerMatcher(source);
  if (typeof targets === "string" && layers !== undefined)
    throw new ConfigError("unsupported-adapter-config", "layers_to_transform needs target_modules as a list", {
      where,
      found: show(targets),
      hint: "PEFT does not load such an adapter either",
    });
  // "all-linear" excludes the output layer.
  if (typeof targets === "string" && targets.toLowerCase() === "all-linear")
    return (module) => /^\w+\.(h|layers)\./.test(module) && isFree(module);
  const isHit = matcher(source, "target_modules");
  // A module with its full name in target_modules is adapted in any layer.
  const named = new Set(Array.isArray(targets) ? targets : []);
  return (module) => isFree(module) && (named.has(module) || (isHit(module) && (layers?.(module) ?? true)));
}

/** Matches a setting that is a regular expression for whole names, or a list of names and suffixes. */
function matcher(source: Source, setting: string): (module: string) => boolean {
  const value = source.config[setting];
  if (typeof value !== "string") return suffixes(strings(source, setting));
  return value === "" ? () => false : wholeName(value, { ...source, setting });
}

/** Tests whether a module is in one of layers_to_transform; undefined without that setting. */
function layerMatcher(source: Source): ((module: string) => boolean) | undefined {
  const { config, where } = source;
  const { layers_to_transform: wanted, layers_pattern: named } = config;
  const layers: unknown = typeof wanted === "number" ? [wanted] : (wanted ?? []);
  if (!Array.isArray(layers) || !layers.every(Number.isInteger))
    throw new FormatError("invalid-adapter-config", "layers_to_transform is not a list of integers", {
      where,
      found: show(wanted),
    });
  const patterns = typeof named === "string" ? (named === "" ? [] : [named]) : strings(source, "layers_pattern");
  if (layers.length === 0) return undefined;
  const layerIndex = layerFinder(patterns, { ...source, setting: "layers_pattern" });
  const chosen = new Set<number | undefined>(layers);
  return (module) => chosen.has(layerIndex(module) ?? Number.NaN);
}

/** The value of a pattern's first key that matches a module's name, otherwise the setting `usual`. */
function patternNumber(source: Source, setting: string, usual: string): (module: string) => number {
  const { config, where } = source;
  check(config, { [setting]: "object?" }, where);
  const values = new Map(Object.entries(config[setting] ?? {}));
  checkCount(setting, values.size, where);
  const matchingKey = firstKey([...values.keys()], { ...source, setting });
  return (module) => {
    const key = matchingKey(module);
    const value = key === undefined ? config[usual] : values.get(key);
    const name = `${key === undefined ? usual : setting} for ${module}`;
    check({ [name]: value }, { [name]: "finite" }, where);
    return value as number;
  };
}

function strings({ config, where }: Source, setting: string): string[] {
  check(config, { [setting]: "texts?" }, where);
  const names = (config[setting] ?? []) as string[];
  checkCount(setting, names.length, where);
  return names;
}

function checkCount(setting: string, count: number, where: string): void {
  if (count > LIMITS.names)
    throw new FormatError("invalid-adapter-config", `${setting} has too many names`, {
      where,
      expected: `at most ${LIMITS.names}`,
      found: String(count),
    });
}
