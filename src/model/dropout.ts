/** Dropout of the adapters' inputs, PEFT's lora_dropout, in the plan of a training step. Only what trains loads it. */
import { BLOCK_LAYERS, type LayerName, type Place } from "../core/names.ts";
import type { Tensor } from "../core/tensor.ts";
import { type DropoutBackward, dropoutBackward, dropoutForward, dropoutMask, type Mask } from "../ops/dropout.ts";
import type { Dispatch } from "../ops/kernel.ts";
import type { Draws, Rows } from "./batch.ts";
import type { Layer, Value } from "./graph.ts";
import { findAdapters, type Parameters } from "./parameters.ts";
import type { Pass } from "./passes.ts";
import type { ModelSpec } from "./trainable.ts";

/**
 * The masks of a run. The adapters of one matrix have the same, as in PEFT; those of different ones are independent.
 */
export class Dropout {
  constructor(
    private readonly p: number,
    private readonly seed: number,
  ) {}

  /** A layer before each matrix with adapters: they see what dropout leaves of its input. */
  pass(parameters: Parameters): Pass {
    return (layers) =>
      layers.flatMap((layer): Layer[] => {
        if (layer.kind !== "linear" || !layer.place || findAdapters(parameters, layer.place).length === 0)
          return [layer];
        const [x] = layer.inputs as [Value];
        const dropped = { name: `${layer.name}.dropped`, columns: x.columns };
        const drop = { kind: "drop", place: layer.place, inputs: [x], out: dropped } as const;
        return [drop, { ...layer, inputs: [x, dropped] }];
      });
  }

  /** out = the mask of x, the input of the matrix at `place`. */
  forward(place: Place, out: Tensor, x: Tensor, draws: Draws, { count }: Rows): Dispatch {
    return dropoutForward(out, x, draws[count as keyof Draws], this.mask(place), count);
  }

  /** Adds the adapters' part to the gradient of x. */
  backward(
    place: Place,
    rest: Omit<DropoutBackward, "draws" | "mask" | "rows">,
    draws: Draws,
    { count: rows }: Rows,
  ): Dispatch {
    return dropoutBackward({ ...rest, draws: draws[rows as keyof Draws], mask: this.mask(place), rows });
  }

  private mask({ block, layer }: Place): Mask {
    const matrix =
      block === null ? 0 : 1 + block * BLOCK_LAYERS.length + (BLOCK_LAYERS as readonly LayerName[]).indexOf(layer);
    return dropoutMask(this.p, this.seed, matrix);
  }
}

/** The dropout of a run of this seed; undefined: it has none. */
export function makeDropout({ lora }: ModelSpec, seed: number): Dropout | undefined {
  return lora?.lora_dropout ? new Dropout(lora.lora_dropout, seed) : undefined;
}
