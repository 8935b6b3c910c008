/** How the methods are trained, and what people read of them. */
import * as adapter from "./adapter.ts";
import * as bitfit from "./bitfit.ts";
import * as classic from "./classic.ts";
import * as full from "./full.ts";
import * as head from "./head.ts";
import { METHODS, type MethodConfig, type Mode } from "./index.ts";
import * as lastBlock from "./last-block.ts";
import * as lora from "./lora.ts";
import type { Flags, Guide, Training } from "./method.ts";
import * as prefix from "./prefix.ts";
import * as probe from "./probe.ts";
import * as prompt from "./prompt.ts";

/** The settings that only some methods have. */
export interface MethodOptions extends lora.LoraOptions, adapter.AdapterOptions, prompt.VirtualOptions {}

export const TRAINING: Readonly<Record<Mode, Training<Partial<MethodOptions>, MethodConfig>>> = {
  lora: lora.training,
  all: full.training,
  last_block: lastBlock.training,
  last_layer: head.training,
  bitfit: bitfit.training,
  adapter: adapter.training,
  prompt: prompt.training,
  prefix: prefix.training,
  probe: probe.training,
  classic: classic.training,
};

export const GUIDES: Readonly<Record<Mode, Guide<Partial<MethodOptions>>>> = {
  lora: lora.guide,
  all: full.guide,
  last_block: lastBlock.guide,
  last_layer: head.guide,
  bitfit: bitfit.guide,
  adapter: adapter.guide,
  prompt: prompt.guide,
  prefix: prefix.guide,
  probe: probe.guide,
  classic: classic.guide,
};

/** "LoRA, rank 8, alpha 16", "prompt tuning, 20 virtual tokens" or "last block". */
export function describeMethod({ mode, ...options }: MethodOptions & { mode: Mode }): string {
  return [METHODS[mode].title, TRAINING[mode].describe?.(options) ?? []].flat().join(", ");
}

/** The method's part of a model's description. */
export function methodConfig({ mode, ...options }: Partial<MethodOptions> & { mode: Mode }): MethodConfig {
  return TRAINING[mode].config?.(options) ?? {};
}

/** The method of a stored adapter, and its settings. */
export function adapterOptions({
  mode,
  ...config
}: MethodConfig & { mode: Mode }): Partial<MethodOptions> & { mode: Mode } {
  return { mode, ...TRAINING[mode].options?.(config) };
}

export function hasSetting(mode: Mode, name: keyof MethodOptions): boolean {
  return name in TRAINING[mode].settings;
}

/** The runs of the page's comparison of these methods. */
export function comparedRuns(modes: readonly Mode[]) {
  return modes.flatMap((mode) =>
    (GUIDES[mode].compared ?? []).map(({ settings, rates = TRAINING[mode].rates }) => ({
      settings: { ...settings, mode },
      rates,
    })),
  );
}

/** The texts of their flags. */
export const settingFlags = (): Flags<MethodOptions> => ({ ...lora.flags, ...adapter.flags, ...prefix.flags });
