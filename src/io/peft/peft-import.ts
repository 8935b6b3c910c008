/**
 * Imports adapters trained with PEFT. With LoRA every module has its own rank and scale, and c_attn a single adapter.
 * Loaded on demand: Lowrank's own runs do not need it.
 */

import { checkKinds, show } from "../../core/checks.ts";
import { textContext } from "../../core/config.ts";
import { ConfigError, FormatError, nameList } from "../../core/errors.ts";
import { modelTargets, siteName } from "../../core/names.ts";
import { setting } from "../../core/setting.ts";
import { formatShape, type Shape, sameShape } from "../../core/tensor.ts";
import { METHODS, MODES, type Mode } from "../../methods/index.ts";
import { hasHead, type Objective, TASKS } from "../../tasks/index.ts";
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
import { HEADS, hasPooler, headEntries, type PeftBase, readBaseModel, type Tensors } from "./peft-form.ts";
import { baseInFiles, loraForm, WRAPPER } from "./peft-lora.ts";
import { dimensions, WRAPPER as HEAD, virtualForm } from "./peft-virtual.ts";

/** A PEFT adapter before its data is read. */
interface PeftImport {
  meta: AdapterMeta;
  /** The keys of its file. */
  keys: Iterable<string>;
  /** Our tensors from those of the file, or from others under its keys. */
  from: (tensors: Tensors) => Tensors;
}

/**
 * Imports a PEFT adapter from its parsed adapter_config.json and the names and shapes of its tensors. Throws
 * ConfigError for methods and variants that are not supported, FormatError listing every key that is missing,
 * unexpected, or of a shape that does not match the model.
 */
export function importPeft(json: unknown, peft: ReadonlyMap<string, Shape>, base: PeftBase, where: string): PeftImport {
  const settings = givenSettings(json, where);
  const mode = peftMode(settings, where);
  const { type, lora, num_virtual_tokens } =
    METHODS[mode].virtual === undefined ? readLora(json, base, where) : readVirtual(mode, settings, base, where);
  const wrapper = lora ? WRAPPER : HEAD;
  const model = base.config;
  const [first] = tasksOf(type) as [Objective];
  if (hasPooler(model, first))
    throw unsupported(
      settings,
      "task_type",
      "TOKEN_CLS: an encoder's head for texts is behind a layer that is not read",
      where,
    );
  const [weight] = headEntries(first, 0, model);
  const classes = (weight && peft.get(wrapper + weight[0])?.[0]) ?? 0;
  const head = headEntries(first, classes, model);
  const own = {
    ...{ base_model: readBaseModel(json, "base_model_name_or_path", where), model, mode },
    // transformers reads a classifier's logits at the last token that is not padding.
    ...{ task: { objective: first, num_labels: classes, pooling: "last-token", head_bias: head.length > 1 } as const },
    ...{ labels: [], settings: {} },
  };
  const form = lora
    ? loraForm({ ...own, lora })
    : virtualForm({ ...own, lora, num_virtual_tokens: num_virtual_tokens! });
  const shapes = new Map<string, Shape | undefined>(form.shapes);
  for (const [key, { shape }] of head) shapes.set(wrapper + key, shape);
  const keys = keysOf(peft, shapes, lora !== null, where);
  const task = { ...own.task, objective: chooseTask(type, base, classes, where) };
  // As many as a head has whose shape fits.
  const labels = Array.from({ length: classes }, (_, i) => `LABEL_${i}`);
  return {
    meta: { ...own, task, labels, lora, ...(num_virtual_tokens !== undefined && { num_virtual_tokens }) },
    keys: keys.keys(),
    from(tensors) {
      const theirs: Tensors = new Map([...keys].map(([key, name]) => [name, tensors.get(key)!]));
      const ours = head.map(([key, { name }]) => [name, theirs.get(wrapper + key)!] as const);
      return new Map([...form.from(theirs, where), ...ours]);
    },
  };
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
  const taken = problemType ?? TASKS[usual].problemType;
  const known = tasks.find((one) => TASKS[one].problemType === taken);
  if (known && outputs <= most(known)) return known;
  throw new ConfigError("unsupported-model-config", `problem_type = ${show(taken)} is not supported`, {
    where,
    expected: `one of ${tasks.map((one) => TASKS[one].problemType).join(", ")}; a regression with one output`,
    found: `${outputs} outputs, and the base model's problem_type ${show(taken)}`,
  });
}

/** The mode of a PEFT method. Throws ConfigError if there is none. */
function peftMode(settings: PeftConfig, where: string): Mode {
  const method = MODES.find((mode) => METHODS[mode].peft && METHODS[mode].peft.type === settings.peft_type);
  if (method) return method;
  const known = MODES.flatMap((mode) => METHODS[mode].peft?.type ?? []);
  throw unsupported(settings, "peft_type", known.map(show).join(" or "), where);
}

/** A method's settings, as far as they tell of its tensors. */
interface MethodSettings extends Pick<AdapterMeta, "lora" | "num_virtual_tokens"> {
  type: TaskType;
}

function readLora(json: unknown, { config }: PeftBase, where: string): MethodSettings {
  const { task: type, adapted, biases, dora, saves, lora } = parsePeftConfig(json, config, where);
  const targets = new Set(adapted.map(({ site }) => site.target));
  const withBias = new Set(biases ? adapted.map(({ name }) => `${name}.bias`) : []);
  const isTrained = ({ key }: { key: string }) => withBias.has(key) || saves(key.replace(/\.(weight|bias)$/, ""));
  const ownsHead = tasksOf(type).some((objective) => hasHead({ objective }));
  const trained = baseInFiles(config).filter(
    ({ name, parts }) => parts.some(isTrained) && !(ownsHead && name === "lm_head.weight"),
  );
  const partly = trained.find(({ parts }) => !parts.every(isTrained));
  if (partly)
    throw new ConfigError("unsupported-adapter-config", "only a part of a matrix was trained", {
      where,
      expected: "q_proj, k_proj and v_proj together, or gate_proj and up_proj: they are one matrix here",
      found: nameList(partly.parts.filter(isTrained).map(({ key }) => key)),
    });
  return {
    type,
    lora: {
      ...lora,
      target_modules: modelTargets(config).filter((target) => targets.has(target)),
      ...(dora ? { use_dora: true } : {}),
      sites: adapted.map(({ site, r, scale }) => ({ site: siteName(site), r, scale })),
      ...(trained.length > 0 ? { modulesToSave: trained.map(({ name }) => name) } : {}),
    },
  };
}

const VIRTUAL: Rules = {
  num_transformer_submodules: [1],
  prefix_projection: [true, false],
  ...anyValue("num_virtual_tokens", "token_dim", "num_layers", "num_attention_heads", "encoder_hidden_size"),
  ...anyValue("init_weights", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path"),
  ...anyValue("tokenizer_kwargs"),
};

/** Prompt tuning and prefix tuning. */
function readVirtual(
  mode: Mode,
  settings: PeftConfig,
  { config, directory = "the given base model" }: PeftBase,
  where: string,
): MethodSettings {
  refuseVariants(settings, VIRTUAL, where);
  checkKinds(settings, { num_virtual_tokens: "size", modules_to_save: "texts?" }, where);
  const {
    task_type: type,
    num_virtual_tokens,
    modules_to_save = [],
  } = settings as { task_type: TaskType; num_virtual_tokens: number; modules_to_save?: string[] };
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
  return { type, lora: null, num_virtual_tokens };
}

/** The keys that the file has, with the names of these shapes. Throws one FormatError that lists all mismatches. */
function keysOf(
  peft: ReadonlyMap<string, Shape>,
  shapes: ReadonlyMap<string, Shape | undefined>,
  isLora: boolean,
  where: string,
): Map<string, string> {
  // Older versions of PEFT omit the wrapper's name in the key of a bias; in its memory magnitudes are a module's
  // weight.
  const other = (key: string) => key.replace(".base_layer.bias", ".bias").replace(/_magnitude_vector$/, "$&.weight");
  const keys = new Map([...shapes.keys()].map((key) => [peft.has(other(key)) ? other(key) : key, key]));
  const summary = "the adapter's tensors do not match its configuration";
  const decisive = isLora ? "target_modules" : "peft_type";
  const hint = `save it with save_pretrained, and compare ${decisive} and the number of blocks with the names`;
  checkNames(peft.keys(), keys.keys(), summary, where, hint);
  const wrong = [...keys].flatMap(([key, name]) => {
    const [stored, shape] = [peft.get(key)!, shapes.get(name)!];
    return sameShape(stored, shape) ? [] : [`${key} ${formatShape(stored)} instead of ${formatShape(shape)}`];
  });
  if (wrong.length === 0) return keys;
  throw new FormatError(
    "wrong-shape",
    "the shapes of the adapter's tensors do not match its configuration and the base model",
    {
      where,
      found: nameList(wrong),
      hint: `check ${isLora ? "r and rank_pattern" : "num_virtual_tokens"}, and that ${setting("model")} is the base model that the adapter was trained on`,
    },
  );
}
