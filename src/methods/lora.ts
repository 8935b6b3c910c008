/** LoRA (Hu et al. 2021): a frozen matrix W, to which B A of low rank is added and trained. */
import type { Init, LoraConfig, ModelConfig } from "../config.ts";
import {
  ADAPTED,
  columnsIn,
  type Initial,
  type LoraAdapter,
  loraAdapters,
  loraDims,
  loraName,
  type ModelTensor,
  magnitudeName,
  matrixOutputs,
  uniform,
} from "../names.ts";
import type { Rng } from "../rng.ts";
import type { Method } from "./method.ts";

export interface LoraPart {
  lora: LoraConfig | null;
  /** The learning rate of B divided by that of everything else (LoRA+, Hayou et al. 2024); default 1. */
  lr_ratio?: number;
}

/** The initial values of A; B is 0 at first. */
function initialA(init: Init, r: number, input: number): Initial {
  switch (init) {
    case "gaussian":
      return (rng) => rng.normal() / r;
    case "kaiming":
      return uniform(1 / Math.sqrt(input));
    case "paper":
      return uniform(1 / Math.sqrt(r));
  }
}

/** DoRA's magnitudes of a matrix: as in PEFT of all its outputs, also where only some have an adapter. */
function magnitude({ target, block }: LoraAdapter, model: ModelConfig): ModelTensor {
  const place = { block, layer: ADAPTED[target].layer };
  const shape = [matrixOutputs(target, model)];
  return { ...place, part: "magnitude", origin: "method", name: magnitudeName(place), shape, initial: "norms" };
}

/** The adapter of the token table, with PEFT's initial values: A is 0, B is N(0, 1). A row of A is a token's. */
function tokenAdapter(
  own: Pick<ModelTensor, "block" | "layer" | "origin"> & { adapter: LoraAdapter },
  tokens: number,
  width: number,
  lr_ratio: number,
): ModelTensor[] {
  const { adapter } = own;
  const initial = (rng: Rng) => rng.normal();
  return [
    { ...own, part: "A", name: loraName(adapter, "A"), shape: [tokens, adapter.r] },
    { ...own, part: "B", name: loraName(adapter, "B"), shape: [width, adapter.r], initial, rate: lr_ratio },
  ];
}

export const method: Method<LoraPart> = {
  title: "LoRA",
  keys: ["lora"],
  tensors(model, { lora, lr_ratio = 1 }, classes) {
    const adapters = loraAdapters(model, lora!);
    return adapters.flatMap((adapter, i) => {
      const { target, block, r } = adapter;
      const dims = loraDims(target, model, classes);
      const { layer } = ADAPTED[target];
      const own = { block, layer, origin: "method", adapter } as const;
      if (target === "wte") return tokenAdapter(own, dims.in, dims.out, lr_ratio);
      const initial = initialA(lora!.init, r, dims.in);
      // As much as the widest of the matrices that lie side by side.
      const room = r * Math.max(dims.out, ...columnsIn(layer, model).map(({ width }) => width));
      const B: ModelTensor = {
        ...{ ...own, part: "B", name: loraName(adapter, "B"), shape: [dims.out, r] },
        ...{ room, rate: lr_ratio },
      };
      const A: ModelTensor = {
        ...own,
        part: "A",
        name: loraName(adapter, "A"),
        shape: [r, dims.in],
        initial,
        partner: B,
      };
      // Behind the last adapter of a matrix: q, k and v are handled together and must be next to each other.
      const isLast = !adapters
        .slice(i + 1)
        .some((other) => other.block === block && ADAPTED[other.target].layer === layer);
      return lora!.use_dora && isLast ? [A, B, magnitude(adapter, model)] : [A, B];
    });
  },
  trains: ({ name }, _, { lora }) => lora?.modulesToSave?.includes(name) ?? false,
  peft: { type: "LORA" },
};
