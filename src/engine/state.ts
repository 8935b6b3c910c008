/** Writes a model's parameters. */

import { BLOCKS } from "../core/blocks.ts";
import { ShapeError } from "../core/errors.ts";
import { numel } from "../core/tensor.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Tensors } from "../io/peft/peft.ts";
import type { Parameter } from "../model/parameters.ts";
import type { Weights } from "./weights.ts";

/**
 * Elements that are read, converted and uploaded at a time: the host never holds the whole model, and a page's thread
 * is never blocked for long.
 */
const LOAD_ELEMENTS = 1 << 18;
/**
 * Bytes that are uploaded before the host waits for the device: they lie in staging memory until then. A wait takes
 * 100 ms in Firefox, whatever it waits for (Mozilla 1870699).
 */
const FLUSH_BYTES = 32 << 20;
/** Rows are read in multiples of this number: the inputs of a matrix's block. */
const LOAD_ROWS = /* @__PURE__ */ Math.max(...Object.values(BLOCKS));

interface LoadOptions {
  wanted?: (parameter: Parameter) => boolean;
  signal?: AbortSignal | undefined;
}

export function isShared(parameter: Parameter, sharedFrom: Weights | undefined): boolean {
  return sharedFrom?.plan.parameters.all.get(parameter.name) === parameter;
}

/**
 * Writes the checkpoint's tensors into the parameters: all, or those for which `wanted` is true. Rejects with the
 * signal's reason when it aborts.
 */
export async function loadBase(
  engine: Weights,
  baseModel: BaseModel,
  { wanted = () => true, signal }: LoadOptions = {},
): Promise<void> {
  let staged = 0;
  const pause = async (count: number, { pieces }: Parameter) => {
    staged += count * pieces[0]!.tensor.elementBytes;
    if (staged >= FLUSH_BYTES) {
      staged = 0;
      await engine.session.flush();
    }
    signal?.throwIfAborted();
  };
  for (const parameter of engine.plan.parameters.all.values()) {
    const { name, shape, origin } = parameter;
    if (origin !== "base" || !wanted(parameter)) continue;
    const rows = shape[0]!;
    // Whole blocks of any type.
    const step = Math.ceil(LOAD_ELEMENTS / (numel(shape) / rows) / LOAD_ROWS) * LOAD_ROWS;
    for (let first = 0; first < rows; first += step) {
      const data = await baseModel.read(name, first, Math.min(rows, first + step));
      engine.writeParameter(name, data, first);
      await pause(data.length, parameter);
    }
  }
}

/** Writes trained tensors over the base model. Throws ShapeError for a tensor that the model does not have. */
export function writeTrained(engine: Weights, tensors: Tensors): void {
  for (const [name, { shape, data }] of tensors) {
    if (numel(shape) !== data.length)
      throw new ShapeError("wrong-shape", `${name}: shape and contents differ`, {
        expected: `${numel(shape)} elements`,
        found: `${data.length}`,
      });
    engine.writeParameter(name, data);
  }
}
