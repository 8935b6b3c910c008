/** The settings of a run as form fields: their labels, their valid values, and the modes that they apply to. */
import { MODES, type Mode, type Objective, TARGETS } from "../../config.ts";
import type { NumberRange } from "../../number-range.ts";
import { type RunSettings, readSetting } from "../../run/settings.ts";
import { DEFAULTS, defaultRate, LM_DEFAULTS, SETTINGS, type Setting, type TrainOptions } from "../../train/options.ts";
import type { ScheduleName } from "../../train/schedule.ts";
import type { PageSettings } from "../protocol.ts";
import { h } from "./dom.ts";
import { FIELD_HELP, type Values } from "./field-help.ts";
import { labelWithHelp, numberField } from "./number-field.ts";

type Key = keyof Values;

interface Field {
  key: Key;
  label: string;
  help?: string;
  kind: "number" | "choice" | "check" | "targets" | "layers";
  choices?: readonly (readonly [value: string, label: string])[];
  number?: NumberRange;
}

/** The field of a training option, as `SETTINGS` defines it; `words` are labels of its choices. */
function optionField(
  key: keyof TrainOptions,
  label: string,
  more: { help?: string; words?: Record<string, string>; kind?: "targets" | "layers" } = {},
): Field {
  const { choices, number } = SETTINGS[key] as Setting<unknown>;
  const { words = {}, ...rest } = more;
  if (number) return { key, label, kind: "number", number, ...rest };
  if (!choices) return { key, label, kind: "check", ...rest };
  return {
    key,
    label,
    kind: "choice",
    choices: (choices as string[]).map((value) => [value, words[value] ?? value]),
    ...rest,
  };
}

const MODE_NAMES: Record<Mode, string> = {
  lora: "LoRA",
  all: "full fine-tuning (all parameters)",
  last_block: "last block and head",
  last_layer: "head only",
  bitfit: "biases and head (BitFit)",
  adapter: "adapter layers",
  prompt: "prompt tuning",
  prefix: "prefix tuning",
};

/** Labels of the schedules: the learning rate after the warm-up. */
export const SCHEDULE_NAMES: Record<ScheduleName, string> = {
  constant: "constant",
  linear: "linear decay",
  cosine: "cosine decay",
};

const MAIN: readonly Field[] = [
  optionField("mode", "Method", { words: MODE_NAMES }),
  optionField("rank", "Rank"),
  optionField("alpha", "Alpha"),
  optionField("bottleneck", "Bottleneck width"),
  optionField("virtualTokens", "Virtual tokens"),
  optionField("epochs", "Epochs"),
  optionField("lr", "Learning rate"),
];

const MORE: readonly Field[] = [
  optionField("targets", "Target matrices", { kind: "targets" }),
  {
    key: "device",
    label: "Device",
    kind: "choice",
    choices: [
      ["auto", "auto"],
      ["webgpu", "WebGPU"],
      ["wasm", "CPU"],
    ],
  },
  optionField("dtype", "Frozen weights", {
    words: { f32: "float32", f16: "float16", q8: "8 bits", q4: "4 bits (NF4)", auto: "what fits" },
  }),
  optionField("recompute", "Recomputation", { words: { auto: "if needed" } }),
  optionField("batchSize", "Batch size"),
  optionField("accumulate", "Accumulation", { help: "Batches per step" }),
  optionField("batching", "Batching", { words: { random: "random", length: "by length" } }),
  optionField("schedule", "Rate schedule", { words: SCHEDULE_NAMES }),
  optionField("warmup", "Warm-up", { help: "Steps; < 1: fraction" }),
  optionField("weightDecay", "Weight decay"),
  optionField("classWeights", "Class weights", { words: { auto: "if unequal" } }),
  optionField("clip", "Gradient clipping", { help: "Maximum norm; 0: off" }),
  optionField("layers", "Adapter blocks", { help: "Such as 0,2-3; empty: all", kind: "layers" }),
  optionField("lrRatio", "Rate of B", { help: "Times A's; LoRA+: 16" }),
  optionField("prefixProjection", "Prefix projection", { help: "Hidden width; 0: none" }),
  optionField("scaling", "Adapter scaling"),
  optionField("init", "Initial values of A"),
  optionField("pooling", "Pooling", { words: { last: "last position", "last-token": "last token" } }),
  {
    key: "maxLength",
    label: "Maximum length",
    help: "Tokens; 0: model context",
    kind: "number",
    number: { min: 0, whole: true },
  },
  {
    key: "split",
    label: "Data split",
    kind: "choice",
    choices: [
      ["default", "default"],
      ...(["random", "stratified", "ordered"] as const).map((split) => [split, split] as const),
    ],
  },
  optionField("evalEvery", "Evaluation interval", { help: "Steps; 0: twice per epoch" }),
  optionField("patience", "Patience", { help: "Evaluations without improvement; 0: off" }),
  optionField("keep", "Keep evaluation"),
  optionField("seed", "Seed"),
  { key: "balance", label: "Balance classes", kind: "check" },
  { key: "dedupe", label: "Deduplicate", kind: "check" },
  optionField("headBias", "Head bias"),
];

const START: Values = { ...DEFAULTS, device: "auto", split: "default", balance: false, dedupe: false, maxLength: 0 };

/** Texts are often short: small blocks and batches give enough steps, each of about as many tokens as with messages. */
const LM_START: Values = { ...START, ...LM_DEFAULTS, batchSize: 2, maxLength: 64 };

/** Settings that only classifiers have. */
const OF_CLASSIFIERS: readonly Key[] = ["pooling", "headBias", "classWeights", "balance", "dedupe", "split"];

const TARGET_NAMES: Record<string, string> = {
  q: "query",
  k: "key",
  v: "value",
  o: "attention out",
  fc: "MLP in",
  proj: "MLP out",
  head: "head",
};

/** Settings that an existing adapter determines. */
const OF_ADAPTER: readonly (keyof TrainOptions)[] = [
  "mode",
  "rank",
  "alpha",
  "scaling",
  "init",
  "targets",
  "layers",
  "pooling",
  "headBias",
];

const fieldModes = (key: Key) => (key in SETTINGS && SETTINGS[key as keyof TrainOptions].modes) || MODES;
const isOfAdapter = (key: Key) => (OF_ADAPTER as readonly Key[]).includes(key);

/** Fields that change the data set or its description. */
export const OF_DATA: readonly Key[] = ["maxLength", "split", "seed", "balance", "dedupe", "classWeights"];

/** An element of the form for a field. */
interface Group {
  field: Field;
  element: HTMLElement;
  /** Fills in a value as if it were typed. Returns whether it is one of the choices. */
  write(value: unknown): boolean;
}

const isSame = (a: unknown, b: unknown) => String(a) === String(b);

export class Fields {
  /** The last valid value of each field. */
  readonly values: Values = { ...START };
  private readonly defaults: Values = { ...START };
  private readonly groups: Group[] = [];
  private readonly wrong = new Set<Key>();
  private hasAdapter = false;
  private objective: Objective = "classification";

  constructor(
    main: HTMLElement,
    more: HTMLElement,
    private readonly changed: (key: Key) => void,
  ) {
    for (const [place, fields] of [
      [main, MAIN],
      [more, MORE],
    ] as const)
      for (const field of fields) {
        const group = this.make(field);
        this.groups.push({ ...group, field });
        place.append(group.element);
      }
    this.showRelevant();
  }

  /** Whether every visible field is valid. */
  get valid(): boolean {
    return this.groups.every(({ field, element }) => element.hidden || !this.wrong.has(field.key));
  }

  /** Hides the settings that an existing adapter determines. */
  beginWith(hasAdapter: boolean): void {
    this.hasAdapter = hasAdapter;
    this.showRelevant();
  }

  /** Takes the objective's defaults, and hides what it does not have. */
  setObjective(objective: Objective): void {
    this.objective = objective;
    for (const key of ["targets", "headBias", "classWeights", "batchSize", "maxLength"] as const)
      this.setDefault(key, this.start[key]);
    this.offerHead(objective === "classification");
    this.showRelevant();
  }

  /** A language model's head is its token table: there is no mode that trains only the head. */
  private offerHead(isOffered: boolean): void {
    const option = document.querySelector<HTMLOptionElement>("#field-mode option[value=last_layer]")!;
    option.hidden = !isOffered;
    option.disabled = !isOffered;
    if (!isOffered && this.values.mode === "last_layer") this.set("mode", START.mode);
  }

  /** The objective's defaults, whatever the data. */
  get start(): Values {
    return this.objective === "lm" ? LM_START : START;
  }

  /** The visible fields whose values are not a run's defaults. */
  get settings(): Partial<PageSettings> {
    const { maxLength } = this.values;
    const isGiven = (key: Key) => {
      if (key === "maxLength") return maxLength > 0;
      // The page has a default of its own for texts.
      return this.differs(key) || (key === "batchSize" && this.objective === "lm");
    };
    const keys = this.groups.filter(({ element }) => !element.hidden).map(({ field }) => field.key);
    return Object.fromEntries(keys.filter(isGiven).map((key) => [key, this.values[key]]));
  }

  /** Sets a field as if the value had been typed. Returns whether there is such a field, and such a choice. */
  set(key: string, value: unknown): boolean {
    return this.groups.find(({ field }) => field.key === key)?.write(value) ?? false;
  }

  /** Sets a field, and moves the focus to it: that of a button that is gone afterwards. */
  correct(key: Key, value: string | number): void {
    this.set(key, value);
    document.querySelector<HTMLElement>(`#field-${key}`)!.focus();
  }

  /** Replaces the default of a field; its value follows unless the visitor has changed it. */
  setDefault<K extends Key>(key: K, value: Values[K]): void {
    const isUntouched = isSame(this.values[key], this.defaults[key]);
    this.defaults[key] = value;
    if (isUntouched && !isSame(this.values[key], value)) this.set(key, value);
  }

  /** Fills in `settings`; returns the names of those that have no field, and of choices that do not exist. */
  restore(settings: RunSettings): string[] {
    // The mode determines defaults of others.
    const given: object = { mode: this.values.mode, maxLength: 0, ...settings };
    return Object.entries(given).flatMap(([key, value]) => (this.set(key, value) ? [] : key));
  }

  reset(): void {
    for (const { field } of this.groups) if (this.differs(field.key)) this.set(field.key, this.defaults[field.key]);
  }

  /** Whether the visitor has changed a field. */
  differs(key: Key): boolean {
    return !isSame(this.values[key], this.defaults[key]) || this.wrong.has(key);
  }

  private showRelevant(): void {
    for (const { field, element } of this.groups)
      element.hidden =
        (this.hasAdapter && isOfAdapter(field.key)) ||
        (this.objective === "lm" && OF_CLASSIFIERS.includes(field.key)) ||
        !fieldModes(field.key).includes(this.values.mode);
  }

  private take(key: Key, value: unknown, isWrong = false): void {
    if (isWrong) this.wrong.add(key);
    else {
      this.wrong.delete(key);
      Object.assign(this.values, { [key]: value });
    }
    if (key === "mode") {
      this.setDefault("lr", defaultRate(value as Mode));
      this.showRelevant();
    }
    this.changed(key);
  }

  private make(field: Field): Omit<Group, "field"> {
    switch (field.kind) {
      case "number":
        return this.makeNumber(field);
      case "choice":
        return this.makeChoice(field);
      case "check":
        return this.makeCheck(field);
      case "targets":
        return this.makeTargets(field);
      case "layers":
        return this.makeLayers(field);
    }
  }

  private makeNumber({ key, label, help, number }: Field): Omit<Group, "field"> {
    const field = { label, why: FIELD_HELP[key], ...(help ? { help } : {}), ...number! };
    const element = numberField(`field-${key}`, START[key] as number, field, (value, isWrong) => {
      this.take(key, value, isWrong);
    });
    return { element, write: (value) => writeTo(element.querySelector("input")!, value) };
  }

  private makeChoice({ key, label, choices = [] }: Field): Omit<Group, "field"> {
    const id = `field-${key}`;
    const select = h(
      "select",
      { id },
      choices.map(([value, text]) => h("option", { value, selected: value === START[key] }, text)),
    );
    select.addEventListener("input", () => this.take(key, select.value));
    const element = h(
      "div",
      { class: key === "mode" ? "field wide" : "field" },
      labelWithHelp(id, label, FIELD_HELP[key]),
      select,
    );
    const write = (wanted: unknown) => choices.some(([value]) => value === wanted) && writeTo(select, wanted);
    return { element, write };
  }

  private makeCheck({ key, label }: Field): Omit<Group, "field"> {
    const id = `field-${key}`;
    const input = h("input", { id, type: "checkbox", checked: START[key] === true });
    input.addEventListener("input", () => this.take(key, input.checked));
    const write = (value: unknown) => {
      input.checked = value === true;
      input.dispatchEvent(new Event("input"));
      return true;
    };
    return { element: h("div", { class: "field check" }, input, labelWithHelp(id, label, FIELD_HELP[key])), write };
  }

  private makeLayers({ key, label, help }: Field): Omit<Group, "field"> {
    const id = `field-${key}`;
    const message = h("p", { id: `${id}-error`, class: "wrong" });
    const input = h("input", { id, type: "text", "aria-describedby": `${id}-help ${message.id}` });
    const parse = (text: string) => {
      try {
        return readSetting(key, text.replaceAll(" ", "") || "all");
      } catch {
        return undefined;
      }
    };
    input.addEventListener("input", () => {
      const blocks = parse(input.value);
      const isWrong = blocks === undefined;
      input.setAttribute("aria-invalid", String(isWrong));
      message.textContent = isWrong ? "Enter block numbers or ranges, counted from 0" : "";
      this.take(key, blocks, isWrong);
    });
    const element = h(
      "div",
      { class: "field" },
      labelWithHelp(id, label, FIELD_HELP[key]),
      input,
      h("p", { id: `${id}-help`, class: "help" }, help),
      message,
    );
    return { element, write: (value) => writeTo(input, value ?? "") };
  }

  private makeTargets({ key, label }: Field): Omit<Group, "field"> {
    const boxes = TARGETS.map((target) => h("input", { type: "checkbox", value: target, checked: true }));
    const message = h("p", { class: "wrong" });
    const update = () => {
      const chosen = boxes.filter(({ checked }) => checked).map(({ value }) => value);
      const isWrong = chosen.length === 0;
      message.textContent = isWrong ? "Choose at least one" : "";
      this.take(key, chosen, isWrong);
    };
    for (const box of boxes) box.addEventListener("input", update);
    const element = h(
      "fieldset",
      { class: "field wide targets", id: `field-${key}` },
      h("legend", { class: "hidden" }, label),
      labelWithHelp(null, label, FIELD_HELP[key]),
      boxes.map((box) => h("label", {}, box, TARGET_NAMES[box.value])),
      message,
    );
    const write = (value: unknown) => {
      for (const box of boxes) box.checked = String(value).split(",").includes(box.value);
      update();
      return true;
    };
    return { element, write };
  }
}

/** Fills an element in as if its value had been typed. */
function writeTo(element: HTMLInputElement | HTMLSelectElement, value: unknown): true {
  element.value = String(value);
  element.dispatchEvent(new Event("input"));
  return true;
}
