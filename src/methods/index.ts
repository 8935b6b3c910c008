/** The methods of fine-tuning, by the names of their modes. A method is added by its file and its lines here. */
import * as adapter from "./adapter.ts";
import * as bitfit from "./bitfit.ts";
import * as classic from "./classic.ts";
import * as full from "./full.ts";
import * as head from "./head.ts";
import * as lastBlock from "./last-block.ts";
import * as lora from "./lora.ts";
import type { Method } from "./method.ts";
import * as prefix from "./prefix.ts";
import * as probe from "./probe.ts";
import * as prompt from "./prompt.ts";

const LIST = {
  lora: lora.method,
  all: full.method,
  last_block: lastBlock.method,
  last_layer: head.method,
  bitfit: bitfit.method,
  adapter: adapter.method,
  prompt: prompt.method,
  prefix: prefix.method,
  probe: probe.method,
  classic: classic.method,
};

/** Which tensors are trained: the name of a method. */
export type Mode = keyof typeof LIST;

/** The methods' parts of a model's description. */
export interface MethodConfig
  extends Partial<lora.LoraPart>,
    Partial<adapter.AdapterPart>,
    Partial<prompt.VirtualPart> {}

export const METHODS: Readonly<Record<Mode, Method<MethodConfig>>> = LIST;

/** Those of a run on a base model. */
export const MODES = /* @__PURE__ */ (Object.keys(LIST) as readonly Mode[]).filter(
  (mode) => !METHODS[mode].withoutModel,
);

/** Whether a mode is trained step by step. */
export const takesSteps = (mode: Mode): boolean => !METHODS[mode].withoutModel && !METHODS[mode].isFitted;
