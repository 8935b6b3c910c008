/**
 * Imports adapters trained with PEFT. With LoRA every module has its own rank and scale, and c_attn a single adapter.
 * Loaded on demand: Lowrank's own runs do not need it.
 */

import { show } from "../../checks.ts";
import { traits } from "../../config.ts";
import { ConfigError, FormatError, nameList } from "../../errors.ts";
import { METHODS, MODES, type Mode } from "../../methods/index.ts";
import type { LoraConfig, LoraSite } from "../../methods/lora.ts";
import { baseShapes, isInBlocks, loraDims, loraName, modelTargets, siteName, type Target } from "../../names.ts";
import { setting } from "../../setting.ts";
import { countOutputs, hasHead, type Objective, TASKS, type TaskConfig } from "../../tasks/index.ts";
import { formatShape, numel, type Shape, sameShape } from "../../tensor.ts";
import { LAYOUTS } from "../layouts.ts";
import { checkNames } from "../safetensors/tensor-file.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import { givenSettings, type PeftPlan, parsePeftConfig, type TaskType, tasksOf } from "./peft-config.ts";
import { headEntries, type ImportEntry, type ImportPlan, type PeftBase, readBaseModel } from "./peft-form.ts";
import { importVirtual } from "./peft-import-virtual.ts";
import { factorName, magnitudeEntry, magnitudeKey, WRAPPER } from "./peft-lora.ts";
import { adaptedOrder, baseEntry, baseInFiles } from "./peft-names.ts";

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
  const mode = peftMode(settings.peft_type, where);
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
  const incomplete = incompleteKeys(entries, baseShapes(base.config));
  if (incomplete.length > 0)
    throw new ConfigError("unsupported-adapter-config", "only a part of a matrix was trained", {
      where,
      expected: "q_proj, k_proj and v_proj together, or gate_proj and up_proj: they are one matrix here",
      found: nameList(incomplete),
    });
  return { meta, entries };
}

/** The keys of one of these tensors of ours of which some parts are missing; none if there is no such tensor. */
function incompleteKeys(entries: ReadonlyMap<string, ImportEntry>, shapes: ReadonlyMap<string, Shape>): string[] {
  const missing = new Map<string, number>();
  for (const { name, shape, first } of entries.values())
    if (first !== undefined && shapes.has(name))
      missing.set(name, (missing.get(name) ?? numel(shapes.get(name)!)) - numel(shape!));
  const [found] = [...missing].find(([, elements]) => elements > 0) ?? [];
  return [...entries].filter(([, { name }]) => name === found).map(([key]) => key);
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
function peftMode(type: unknown, where: string): Mode {
  const found = MODES.find((mode) => METHODS[mode].peft !== undefined && METHODS[mode].peft.type === type);
  if (found) return found;
  throw new ConfigError("unsupported-adapter-config", `PEFT's peft_type = ${show(type)} is not supported`, {
    where,
    expected: MODES.flatMap((mode) => METHODS[mode].peft?.type ?? [])
      .map(show)
      .join(" or "),
  });
}

function importLora(json: unknown, peft: ReadonlyMap<string, Shape>, base: PeftBase, where: string): ImportPlan {
  const plan = parsePeftConfig(json, base.config, where);
  const type = plan.task ?? chooseType(plan, base);
  const [objective] = tasksOf(type) as [Objective];
  const [weight] = headEntries(objective, 0, base.config);
  const head = weight && (peft.get(WRAPPER + weight[0]) ?? base.score?.shape);
  const task = { objective, num_labels: head?.[0] ?? 0 };
  const { entries, sites, targets, modulesToSave } = expectedEntries(plan, base, task);
  const lora: LoraConfig = {
    ...plan.lora,
    target_modules: modelTargets(base.config).filter((target) => targets.has(target)),
    ...(plan.dora ? { use_dora: true } : {}),
    sites,
    ...(modulesToSave.length > 0 ? { modulesToSave } : {}),
  };
  const decisive = { names: "target_modules", shapes: "r and rank_pattern" };
  return { own: { lora }, type, classes: task.num_labels, entries, decisive };
}

/** The type of an adapter without one: by the head that is adapted or saved, otherwise the base model's. */
function chooseType({ adapted, saves }: PeftPlan, { config, score }: PeftBase): TaskType {
  const has = (head: string) => saves(head) || adapted.some(({ name }) => name === head);
  if (has("score")) return "SEQ_CLS";
  return score === undefined || has(LAYOUTS[traits(config).family].head) ? "CAUSAL_LM" : "SEQ_CLS";
}

/** Every key that the configuration requires, with our name and the shape. */
function expectedEntries(
  plan: PeftPlan,
  { config, score }: PeftBase,
  task: Pick<TaskConfig, "objective" | "num_labels">,
) {
  const ownsHead = hasHead(task);
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
  const isTrained = (key: string) => biases.has(key) || plan.saves(key.replace(/\.(weight|bias)$/, ""));
  for (const tensor of baseInFiles(config)) {
    if (ownsHead && tensor.name === "lm_head.weight") continue;
    if (tensor.parts.some(({ key }) => isTrained(key))) modulesToSave.push(tensor.name);
    for (const [i, { key }] of tensor.parts.entries())
      if (isTrained(key)) {
        const theirs = biases.has(key) ? key.replace(/bias$/, "base_layer.bias") : key;
        entries.set(WRAPPER + theirs, baseEntry(tensor, i));
      }
  }
  const head = headEntries(task.objective, task.num_labels, config).map(
    ([key, entry]) => [WRAPPER + key, entry] as const,
  );
  const savesHead = head.some(([key]) => plan.saves(key.slice(WRAPPER.length).replace(/\.\w+$/, "")));
  if (ownsHead && score === undefined && !savesHead)
    throw new ConfigError(
      "wrong-base-model",
      "the adapter of score needs a score.weight, which the base model does not have",
      {
        hint: "give the model that the adapter was trained on",
      },
    );
  if (savesHead) for (const [key, entry] of head) entries.set(key, entry);
  return { entries, sites, targets, modulesToSave };
}

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
