/** The settings of a run as form fields: their labels, their valid values, and the modes that they apply to. */
import { MODES, type Mode, parseLayers, TARGETS } from "../../config.ts";
import type { NumberRange } from "../../number-range.ts";
import { DEFAULTS, defaultRate, ofMode, SETTINGS, type Setting, type TrainOptions } from "../../train/options.ts";
import type { ScheduleName } from "../../train/schedule.ts";
import type { PageSettings } from "../protocol.ts";
import { h } from "./dom.ts";
import { numberField } from "./number-field.ts";

/** The values of all fields: the training options and the page's other settings. */
export type Values = TrainOptions & Pick<PageSettings, "device" | "split" | "balance" | "dedupe" | "maxLength">;
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
  lora: "LoRA adapters",
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
  optionField("mode", "Trainable parameters", { words: MODE_NAMES }),
  optionField("rank", "Rank"),
  optionField("alpha", "Alpha"),
  optionField("targets", "Target matrices", { kind: "targets" }),
  optionField("bottleneck", "Bottleneck width"),
  optionField("virtualTokens", "Virtual tokens"),
  optionField("epochs", "Epochs"),
  optionField("lr", "Learning rate"),
];

const MORE: readonly Field[] = [
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
  optionField("dtype", "Frozen weights", { words: { f32: "float32", f16: "float16" } }),
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

const modesOf = (key: Key) => (key in SETTINGS && SETTINGS[key as keyof TrainOptions].modes) || MODES;
const isOfAdapter = (key: Key) => (OF_ADAPTER as readonly Key[]).includes(key);

/** Fields that change the data set, or what is said about it. */
export const OF_DATA: readonly Key[] = ["maxLength", "split", "seed", "balance", "dedupe", "classWeights"];

export class Fields {
  /** The last valid value of each field. */
  readonly values: Values = { ...START };
  private readonly groups: { field: Field; group: HTMLElement }[] = [];
  private readonly wrong = new Set<Key>();
  private hasAdapter = false;

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
        this.groups.push({ field, group });
        place.append(group);
      }
    this.showRelevant();
  }

  /** Whether every visible field is valid. */
  get valid(): boolean {
    return this.groups.every(({ field, group }) => group.hidden || !this.wrong.has(field.key));
  }

  /** Hides the settings that an existing adapter determines. */
  beginWith(hasAdapter: boolean): void {
    this.hasAdapter = hasAdapter;
    this.showRelevant();
  }

  /** The values, without those that an existing adapter determines. */
  get chosen(): Omit<Values, keyof TrainOptions> & Partial<TrainOptions> {
    const chosen: Omit<Values, keyof TrainOptions> & Partial<TrainOptions> = ofMode(
      { ...this.values },
      this.values.mode,
    );
    if (this.hasAdapter) for (const key of OF_ADAPTER) delete chosen[key];
    return chosen;
  }

  /** Sets a field as if the value had been typed. */
  set(key: "lr" | "batchSize", value: number): void {
    const input = document.querySelector<HTMLInputElement>(`#field-${key}`)!;
    input.value = String(value);
    input.dispatchEvent(new Event("input"));
    input.focus();
  }

  private showRelevant(): void {
    for (const { field, group } of this.groups)
      group.hidden = (this.hasAdapter && isOfAdapter(field.key)) || !modesOf(field.key).includes(this.values.mode);
  }

  private take(key: Key, value: unknown, isWrong = false): void {
    if (key === "mode") this.followMode(value as Mode);
    if (isWrong) this.wrong.add(key);
    else {
      this.wrong.delete(key);
      Object.assign(this.values, { [key]: value });
    }
    if (key === "mode") this.showRelevant();
    this.changed(key);
  }

  /** The learning rate is the new mode's default, if it was the old one's. */
  private followMode(mode: Mode): void {
    const input = document.querySelector<HTMLInputElement>("#field-lr")!;
    if (Number(input.value) !== defaultRate(this.values.mode)) return;
    this.values.lr = defaultRate(mode);
    input.value = String(this.values.lr);
  }

  private make(field: Field): HTMLElement {
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

  private makeNumber({ key, label, help, number }: Field): HTMLElement {
    const field = { label, ...(help ? { help } : {}), ...number! };
    return numberField(`field-${key}`, START[key] as number, field, (value, isWrong) => {
      this.take(key, value, isWrong);
    });
  }

  private makeChoice({ key, label, choices = [] }: Field): HTMLElement {
    const id = `field-${key}`;
    const select = h(
      "select",
      { id },
      choices.map(([value, text]) => h("option", { value, selected: value === START[key] }, text)),
    );
    select.addEventListener("input", () => this.take(key, select.value));
    return h("div", { class: key === "mode" ? "field wide" : "field" }, h("label", { for: id }, label), select);
  }

  private makeCheck({ key, label }: Field): HTMLElement {
    const input = h("input", { id: `field-${key}`, type: "checkbox", checked: START[key] === true });
    input.addEventListener("input", () => this.take(key, input.checked));
    return h("div", { class: "field check" }, h("label", {}, input, label));
  }

  private makeLayers({ key, label, help }: Field): HTMLElement {
    const id = `field-${key}`;
    const message = h("p", { id: `${id}-error`, class: "wrong" });
    const input = h("input", { id, type: "text", "aria-describedby": `${id}-help ${message.id}` });
    const parse = (text: string) => {
      try {
        return parseLayers(text === "" ? ["all"] : text.split(","));
      } catch {
        return undefined;
      }
    };
    input.addEventListener("input", () => {
      const blocks = parse(input.value.replaceAll(" ", ""));
      const isWrong = blocks === undefined;
      input.setAttribute("aria-invalid", String(isWrong));
      message.textContent = isWrong ? "Enter block numbers or ranges, counted from 0" : "";
      this.take(key, blocks, isWrong);
    });
    return h(
      "div",
      { class: "field" },
      h("label", { for: id }, label),
      input,
      h("p", { id: `${id}-help`, class: "help" }, help),
      message,
    );
  }

  private makeTargets({ key, label }: Field): HTMLElement {
    const boxes = TARGETS.map((target) => h("input", { type: "checkbox", value: target, checked: true }));
    const message = h("p", { class: "wrong" });
    const update = () => {
      const chosen = boxes.filter(({ checked }) => checked).map(({ value }) => value);
      const isWrong = chosen.length === 0;
      message.textContent = isWrong ? "Choose at least one" : "";
      this.take(key, chosen, isWrong);
    };
    for (const box of boxes) box.addEventListener("input", update);
    return h(
      "fieldset",
      { class: "field wide targets" },
      h("legend", {}, label),
      boxes.map((box) => h("label", {}, box, TARGET_NAMES[box.value])),
      message,
    );
  }
}
