/**
 * PEFT's adapter_config.json: which settings are supported, and of LoRA which modules of a model have an adapter, their
 * ranks and scales, and what else was trained. Modules are named; what changes the arithmetic otherwise is refused.
 */

import { checkKinds, isListOf, isText, show, withoutNulls } from "../../core/checks.ts";
import type { ModelConfig } from "../../core/config.ts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import { type Site, sitesByName } from "../../core/names.ts";
import { INITS, type LoraConfig, loraScale } from "../../methods/lora.ts";
import { hasHead, OBJECTIVES, type Objective, TASKS } from "../../tasks/index.ts";
import { HEADS } from "./peft-form.ts";
import { moduleName } from "./peft-lora.ts";

export type TaskType = (typeof TASKS)[Objective]["peft"];
const TASK_TYPES = [...new Set(OBJECTIVES.map((objective) => TASKS[objective].peft))];

/** The tasks of one of PEFT's types, which have the same head. */
export const tasksOf = (type: TaskType) => OBJECTIVES.filter((objective) => TASKS[objective].peft === type);

/** A parsed adapter_config.json. */
export type PeftConfig = Record<string, unknown>;

interface PeftModule {
  /** In the model: `transformer.h.3.attn.c_attn`, `model.layers.3.self_attn.q_proj`, `lm_head`. */
  name: string;
  site: Site;
  r: number;
  scale: number;
}

/** The contents of an adapter_config.json, resolved for a model. */
interface PeftPlan {
  task: TaskType;
  adapted: PeftModule[];
  /** Whether the biases of the adapted modules were trained as well. */
  biases: boolean;
  /** Whether the adapted modules have DoRA's magnitudes. */
  dora: boolean;
  /** Whether modules_to_save includes this module. */
  saves: (module: string) => boolean;
  /** The settings of modules that no pattern names. */
  lora: Pick<LoraConfig, "r" | "lora_alpha" | "scaling" | "init" | "lora_dropout">;
}

/**
 * A method's settings with the values that are supported; null: they are read, or do not affect the results. Any other
 * setting must be empty.
 */
export type Rules = Readonly<Record<string, readonly unknown[] | null>>;

/** Rules of settings with any value. */
export const anyValue = (...settings: string[]): Rules => Object.fromEntries(settings.map((key) => [key, null]));

/** Settings of every method. */
const COMMON: Rules = {
  task_type: TASK_TYPES,
  ...anyValue("peft_type", "modules_to_save", "inference_mode", "base_model_name_or_path", "revision"),
  ...anyValue("auto_mapping", "peft_version", "runtime_config"),
};

const LORA: Rules = {
  bias: ["none", "lora_only"],
  use_dora: [true, false],
  use_rslora: [true, false],
  // PiSSA, OLoRA and similar methods change the base model's weights before training.
  init_lora_weights: [true, false, "gaussian"],
  ...anyValue("target_modules", "layers_to_transform", "r", "lora_alpha", "rank_pattern", "alpha_pattern"),
  ...anyValue("fan_in_fan_out", "lora_dropout", "megatron_core", "qalora_group_size", "ensure_weight_tying"),
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

/** The error for a setting that is not supported; `expected`: what is. */
export function unsupported(config: PeftConfig, setting: string, expected: string, where: string): ConfigError {
  const summary = `PEFT's ${setting} = ${show(config[setting] ?? null)} is not supported`;
  const isLora = config.peft_type === "LORA" && setting !== "task_type";
  const hint = "merge the adapter in PEFT (merge_and_unload), save the model, and open that";
  return new ConfigError("unsupported-adapter-config", summary, { where, expected, ...(isLora && { hint }) });
}

/** Throws ConfigError for a setting that the rules do not have. */
export function refuseVariants(config: PeftConfig, rules: Rules, where: string): void {
  const all = { ...COMMON, ...rules };
  for (const [key, value] of Object.entries({ task_type: null, ...config })) {
    const allowed = Object.hasOwn(all, key) ? all[key]! : isEmpty(value) ? null : [];
    if (allowed === null || allowed.includes(value)) continue;
    const expected = allowed.map(show).join(" or ") || `an adapter without ${key}, which changes its results`;
    throw unsupported(config, key, expected, where);
  }
}

/** Throws ConfigError for variants of LoRA that are not supported, FormatError for invalid settings. */
export function parsePeftConfig(json: unknown, model: ModelConfig, where: string): PeftPlan {
  const config = givenSettings(json, where);
  refuseVariants(config, LORA, where);
  const targets = moduleNames(config, "target_modules", where);
  const task = config.task_type as TaskType;
  const ownsHead = tasksOf(task).some((objective) => hasHead({ objective }));
  // PEFT always saves a head of its own.
  const toSave = [...moduleNames(config, "modules_to_save", where), ...(ownsHead ? HEADS : [])];
  // A module is saved with its submodules. PEFT saves "input_layernorm" for "norm", but adapts it as one that is not
  // saved.
  const saves = (module: string) => outer(module).some((name) => toSave.some((end) => name.endsWith(end)));
  const isNamed = matcher(toSave);
  const { r, lora_alpha, lora_dropout = 0, bias, use_rslora = false, use_dora: dora = false } = config as Settings;
  const lora = {
    r,
    lora_alpha,
    scaling: use_rslora ? "alpha/sqrt(r)" : "alpha/r",
    init: config.init_lora_weights === "gaussian" ? INITS[0] : INITS[1],
    // `validateLora` checks it.
    ...(lora_dropout === 0 ? {} : { lora_dropout }),
  } as const;
  const blocks = layersToTransform(config, where);
  const isTarget = matcher(targets);
  /** PEFT's check_target_module_exists: a module that is named in full has an adapter in any layer. */
  const isAdapted = (name: string, block: number | null = null) =>
    !outer(name).some(isNamed) && (targets.includes(name) || (isTarget(name) && (blocks?.has(block!) ?? true)));
  const rankOf = byModule(config, "rank_pattern", "r", where);
  const alphaOf = byModule(config, "alpha_pattern", "lora_alpha", where);
  const known = candidates(model, ownsHead);
  const adapted = [...known].flatMap(([name, site]): PeftModule[] => {
    if (!isAdapted(name, site.block)) return [];
    const module = { r: rankOf(name), lora_alpha: alphaOf(name) };
    return [{ name, site, r: module.r, scale: loraScale({ ...lora, ...module }) }];
  });
  if (adapted.length === 0)
    throw new ConfigError("no-matching-target", "target_modules matches no matrix of the model", {
      where,
      expected: `some of ${[...new Set([...known.keys()].map((name) => name.replace(/.*\./, "")))].join(", ")}`,
      found: show(targets),
    });
  const table = moduleName({ target: "wte", block: null }, model);
  const odd = [...(ownsHead && !dora ? [] : [table]), "transformer.wpe", "score"].find((name) => isAdapted(name));
  const but = odd === table ? " but in a classifier, without DoRA" : "";
  if (odd !== undefined) throw unsupported(config, "target_modules", `no adapter of ${odd}${but}`, where);
  const tied = [table, moduleName({ target: "head", block: null }, model)];
  if (!ownsHead && model.tie_word_embeddings !== false && tied.some(saves))
    throw unsupported(
      config,
      "modules_to_save",
      "the token table and the head of a language model to stay tied",
      where,
    );
  return { task, adapted, biases: bias === "lora_only", dora, saves, lora };
}

type Settings = {
  r: number;
  lora_alpha: number;
  lora_dropout?: number;
  bias?: string;
  use_rslora?: boolean;
  use_dora?: boolean;
};

/** The name of a module and of all modules that contain it: `a.b.c`, `a.b`, `a`. */
const outer = (module: string) => module.split(".").map((_, i, parts) => parts.slice(0, i + 1).join("."));

/** A module's name, whole and from each of its dots on: `a.b.c`, `b.c`, `c`. */
const endings = (module: string) => module.split(".").map((_, i, parts) => parts.slice(i).join("."));

/** Whether a module is named in full, or from one of its dots on. */
function matcher(names: readonly string[]): (module: string) => boolean {
  const all = new Set(names);
  return (module) => endings(module).some((end) => all.has(end));
}

/** Every module that can have an adapter, in the order of the forward pass. */
function candidates(model: ModelConfig, ownsHead: boolean): Map<string, Site> {
  const known = new Map<string, Site>();
  // The first of those in one module is that of the whole: c_attn, before q.
  for (const site of sitesByName(model).values()) {
    const name = moduleName(site, model);
    if (!known.has(name) && !(ownsHead && site.target === "head")) known.set(name, site);
  }
  return known;
}

/** The names in a setting, those of a list or the keys of a pattern. Throws ConfigError for regular expressions. */
function moduleNames(
  config: PeftConfig,
  setting: string,
  where: string,
  names: unknown = config[setting] ?? [],
): string[] {
  if (isText(names) || (isListOf(names, isText) && names.some((name) => !/^[\w.]*$/.test(String(name)))))
    throw unsupported(config, setting, "names of modules, such as attn.c_attn or transformer.h.3.mlp.c_fc", where);
  check({ [setting]: names }, { [setting]: "texts" }, where);
  return names as string[];
}

/** The blocks of layers_to_transform; undefined without that setting. */
function layersToTransform({ layers_to_transform: layers = [] }: PeftConfig, where: string): Set<number> | undefined {
  const blocks: unknown[] = [layers].flat();
  if (!blocks.every(Number.isInteger))
    throw new FormatError("invalid-adapter-config", "layers_to_transform is not a list of integers", {
      where,
      found: show(layers),
    });
  return blocks.length > 0 ? new Set(blocks as number[]) : undefined;
}

/** The value of a pattern's first key that names a module, otherwise the setting `usual`. */
function byModule(config: PeftConfig, pattern: string, usual: string, where: string): (module: string) => number {
  check(config, { [pattern]: "object?", [usual]: "finite" }, where);
  const entries = Object.entries(config[pattern] ?? {});
  const keys = entries.map(([key]) => key);
  moduleNames(config, pattern, where, keys);
  for (const [key, value] of entries)
    check({ [`${pattern} of ${key}`]: value }, { [`${pattern} of ${key}`]: "finite" }, where);
  const places = new Map(entries.map(([key], i) => [key, i]));
  return (module) => {
    const first = Math.min(...endings(module).map((end) => places.get(end) ?? Infinity));
    return entries[first]?.[1] ?? config[usual];
  };
}
