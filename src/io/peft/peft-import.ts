/**
 * Imports adapters trained with PEFT. With LoRA every module has its own rank and scale, and c_attn a single adapter.
 * Loaded on demand: Lowrank's own runs do not need it.
 */

import { checkKinds, show } from "../../checks.ts";
import { textContext } from "../../config.ts";
import { ConfigError, FormatError, nameList } from "../../errors.ts";
import { METHODS, MODES, type Mode } from "../../methods/index.ts";
import type { LoraConfig, LoraSite } from "../../methods/lora.ts";
import { isInBlocks, loraDims, loraName, modelTargets, siteName, type Target } from "../../names.ts";
import { setting } from "../../setting.ts";
import { countOutputs, hasHead, type Objective, TASKS } from "../../tasks/index.ts";
import { formatShape, type Shape, sameShape } from "../../tensor.ts";
import { checkNames } from "../safetensors/tensor-file.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import {
  anyValue,
  givenSettings,
  type PeftConfig,
  parsePeftConfig,
  type Rules,
  refuseVariants,
  type TaskType,
  tasksOf,
  unsupported,
} from "./peft-config.ts";
import { HEADS, headEntries, type ImportEntry, type ImportPlan, type PeftBase, readBaseModel } from "./peft-form.ts";
import {
  adaptedOrder,
  baseEntry,
  baseInFiles,
  factorName,
  magnitudeEntry,
  magnitudeKey,
  WRAPPER,
} from "./peft-lora.ts";
import { dimensions, EMBEDDINGS, WRAPPER as HEAD, virtualTensor } from "./peft-virtual.ts";

/** A PEFT adapter before its data is read: what each tensor of its file is to us. */
interface PeftImport {
  meta: AdapterMeta;
  entries: Map<string, ImportEntry>;
}

/**
 * Imports a PEFT adapter from its parsed adapter_config.json and the names and shapes of its tensors. Throws
 * ConfigError for methods and variants that are not supported, FormatError listing every key that is missing,
 * unexpected, or of a shape that does not match the model.
 */
export function importPeft(json: unknown, peft: ReadonlyMap<string, Shape>, base: PeftBase, where: string): PeftImport {
  const settings = givenSettings(json, where);
  const mode = peftMode(settings, where);
  const plan =
    METHODS[mode].virtual === undefined
      ? importLora(json, peft, base, where)
      : importVirtual(mode, settings, peft, base, where);
  const entries = take(peft, plan, where);
  const { own, type, classes } = plan;
  const objective = chooseTask(type, base, classes, where);
  const meta: AdapterMeta = {
    base_model: readBaseModel(json, "base_model_name_or_path", where),
    model: base.config,
    mode,
    ...own,
    task: {
      objective,
      num_labels: classes,
      // transformers reads a classifier's logits at the last token that is not padding.
      pooling: "last-token",
      head_bias: TASKS[objective].module?.hasBias ?? false,
    },
    labels: Array.from({ length: classes }, (_, i) => `LABEL_${i}`),
    settings: {},
  };
  return { meta, entries };
}

/**
 * What a head was trained for: PEFT's files do not say it, the base model's config.json may. As in transformers, one
 * output is a score.
 */
function chooseTask(type: TaskType, { problemType }: PeftBase, outputs: number, where: string): Objective {
  const tasks = tasksOf(type);
  const most = (objective: Objective) => TASKS[objective].outputs.most ?? Infinity;
  const [first] = tasks as [Objective];
  if (TASKS[first].problemType === undefined) return first;
  const usual = tasks.find((one) => TASKS[one].outputs.least <= outputs && outputs <= most(one)) ?? first;
  const found = problemType ?? TASKS[usual].problemType;
  const known = tasks.find((one) => TASKS[one].problemType === found);
  if (known && outputs <= most(known)) return known;
  throw new ConfigError("unsupported-model-config", `problem_type = ${show(found)} is not supported`, {
    where,
    expected: `one of ${tasks.map((one) => TASKS[one].problemType).join(", ")}; a regression with one output`,
    found: `${outputs} outputs, and the base model's problem_type ${show(found)}`,
  });
}

/** The mode of a PEFT method. Throws ConfigError if there is none. */
function peftMode(settings: PeftConfig, where: string): Mode {
  const found = MODES.find((mode) => METHODS[mode].peft && METHODS[mode].peft.type === settings.peft_type);
  if (found) return found;
  const known = MODES.flatMap((mode) => METHODS[mode].peft?.type ?? []);
  throw unsupported(settings, "peft_type", known.map(show).join(" or "), where);
}

function importLora(json: unknown, peft: ReadonlyMap<string, Shape>, { config }: PeftBase, where: string): ImportPlan {
  const plan = parsePeftConfig(json, config, where);
  const { head, classes, objective } = headOf(plan.task, WRAPPER, peft, config);
  const task = { objective, num_labels: classes };
  const entries = new Map<string, ImportEntry>();
  const sites: LoraSite[] = [];
  const targets = new Set<Target>();
  const modulesToSave: string[] = [];
  /** Of adapted modules. */
  const biases = new Set<string>();
  const adapted = plan.adapted.map(({ site }) => site);
  for (const module of plan.adapted) {
    const { site, r, scale, name } = module;
    const { target } = site;
    const dims = loraDims(target, config, countOutputs(task, config));
    sites.push({ site: siteName(site), r, scale });
    targets.add(target);
    const isTurned = target === "wte";
    entries.set(factorName(module, "A"), { name: loraName(site, "A"), shape: [r, dims.in], isTurned });
    const order = adaptedOrder(site, config);
    entries.set(factorName(module, "B"), { name: loraName(site, "B"), shape: [dims.out, r], order });
    if (plan.dora) entries.set(magnitudeKey(name), magnitudeEntry(site, adapted, config, { out: dims.out, order }));
    if (plan.biases && isInBlocks(target)) biases.add(`${name}.bias`);
  }
  const isTrained = ({ key }: { key: string }) => biases.has(key) || plan.saves(key.replace(/\.(weight|bias)$/, ""));
  for (const tensor of baseInFiles(config)) {
    const { name, parts } = tensor;
    if ((hasHead(task) && name === "lm_head.weight") || !parts.some(isTrained)) continue;
    if (!parts.every(isTrained))
      throw new ConfigError("unsupported-adapter-config", "only a part of a matrix was trained", {
        where,
        expected: "q_proj, k_proj and v_proj together, or gate_proj and up_proj: they are one matrix here",
        found: nameList(parts.filter(isTrained).map(({ key }) => key)),
      });
    modulesToSave.push(name);
    for (const [i, { key }] of parts.entries())
      entries.set(WRAPPER + (biases.has(key) ? key.replace(/bias$/, "base_layer.bias") : key), baseEntry(tensor, i));
  }
  for (const [key, entry] of head) entries.set(key, entry);
  const lora: LoraConfig = {
    ...plan.lora,
    target_modules: modelTargets(config).filter((target) => targets.has(target)),
    ...(plan.dora ? { use_dora: true } : {}),
    sites,
    ...(modulesToSave.length > 0 ? { modulesToSave } : {}),
  };
  const decisive = { names: "target_modules", shapes: "r and rank_pattern" };
  return { own: { lora }, type: plan.task, classes, entries, decisive };
}

/** A head of its own in PEFT's file, and the number of its outputs; of a language model none. */
function headOf(type: TaskType, wrapper: string, peft: ReadonlyMap<string, Shape>, config: PeftBase["config"]) {
  const [objective] = tasksOf(type) as [Objective];
  const [weight] = headEntries(objective, 0, config);
  const classes = (weight && peft.get(wrapper + weight[0])?.[0]) ?? 0;
  const head = headEntries(objective, classes, config).map(([key, entry]) => [wrapper + key, entry] as const);
  return { objective, classes, head };
}

const VIRTUAL: Rules = {
  num_transformer_submodules: [1],
  prefix_projection: [true, false],
  ...anyValue("num_virtual_tokens", "token_dim", "num_layers", "num_attention_heads", "encoder_hidden_size"),
  ...anyValue("init_weights", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path"),
  ...anyValue("tokenizer_kwargs"),
};

/** Virtual tokens: prompt tuning and prefix tuning. */
function importVirtual(
  mode: Mode,
  settings: PeftConfig,
  peft: ReadonlyMap<string, Shape>,
  { config, directory = "the given base model" }: PeftBase,
  where: string,
): ImportPlan {
  refuseVariants(settings, VIRTUAL, where);
  checkKinds(settings, { num_virtual_tokens: "size", modules_to_save: "texts?" }, where);
  const { task_type, num_virtual_tokens, modules_to_save = [] } = settings as VirtualSettings;
  if (modules_to_save.some((module) => !HEADS.includes(module)))
    throw unsupported(settings, "modules_to_save", `nothing but the head (${HEADS.join(", ")})`, where);
  for (const [key, value] of Object.entries(dimensions(mode, config)))
    if (settings[key] !== undefined && settings[key] !== value)
      throw new ConfigError("wrong-base-model", "the adapter belongs to another base model", {
        where,
        expected: `${key} = ${show(settings[key])} (${settings.base_model_name_or_path})`,
        found: `${key} = ${value} (${directory})`,
      });
  textContext(config, { num_virtual_tokens }, where);
  const { name, shape } = virtualTensor(mode, config, num_virtual_tokens);
  const { head, classes } = headOf(task_type, HEAD, peft, config);
  const entries = new Map<string, ImportEntry>([[EMBEDDINGS, { name, shape }], ...head]);
  const decisive = { names: "peft_type", shapes: "num_virtual_tokens" };
  return { own: { lora: null, num_virtual_tokens }, type: task_type, classes, entries, decisive };
}

type VirtualSettings = {
  task_type: TaskType;
  num_virtual_tokens: number;
  modules_to_save?: string[];
};

/** The entries by the keys that the file has. Throws one FormatError that lists all mismatches. */
function take(peft: ReadonlyMap<string, Shape>, plan: ImportPlan, where: string): Map<string, ImportEntry> {
  const { entries, decisive } = plan;
  // Older versions of PEFT omit the wrapper's name in the key of a bias; in its memory magnitudes are a module's
  // weight.
  const other = (key: string) => key.replace(".base_layer.bias", ".bias").replace(/_magnitude_vector$/, "$&.weight");
  const fileKeys = new Map([...entries.keys()].map((key) => [peft.has(other(key)) ? other(key) : key, key]));
  const summary = "the adapter's tensors do not match its configuration";
  checkNames(peft.keys(), fileKeys.keys(), summary, where, (missing, extra) => hintFor(missing, extra, plan));
  const out = new Map<string, ImportEntry>();
  const wrong: string[] = [];
  for (const [key, entry] of fileKeys) {
    const found = peft.get(key)!;
    const { shape } = entries.get(entry)!;
    if (shape !== undefined && !sameShape(found, shape))
      wrong.push(`${key} ${formatShape(found)} instead of ${formatShape(shape)}`);
    out.set(key, entries.get(entry)!);
  }
  if (wrong.length > 0)
    throw new FormatError(
      "wrong-shape",
      "the shapes of the adapter's tensors do not match its configuration and the base model",
      {
        where,
        found: nameList(wrong),
        hint: `check ${decisive.shapes}, and that ${setting("model")} is the base model that the adapter was trained on`,
      },
    );
  return out;
}

/** The usual cause of unexpected keys. */
function hintFor(missing: string[], extra: string[], { decisive }: ImportPlan): string | undefined {
  const bare = new Map(missing.map((key) => [key.replace(/^base_model\.(model\.)?/, ""), key]));
  const wanted = extra.map((key) => bare.get(key)).find((key) => key !== undefined);
  if (wanted !== undefined)
    return `add the prefix ${/^base_model\.(model\.)?/.exec(wanted)![0]} to the names: PEFT ignores tensors without it`;
  if (extra.some((key) => /\.lora_[AB]\.\w+\.weight$|^prompt_encoder\./.test(key)))
    return "use save_pretrained: this is a state dict, whose keys contain the adapter's name";
  if (missing.length > 0 && extra.length > 0)
    return `compare ${decisive.names} of adapter_config.json, and the number of blocks of the base model, with the names`;
  return undefined;
}
