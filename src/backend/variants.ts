/** What decides, on every backend, which variant of a kernel a dispatch takes. */
import { type Dispatch, scalarOf, tensorAt } from "../ops/kernel.ts";

/**
 * Whether a product has one row for each sequence that is being written, and never many of them. Batches of any size have other
 * kernels, so that a row's bits do not depend on how many there are.
 */
export function isGemv(dispatch: Dispatch): boolean {
  return scalarOf(dispatch, "m") === "slots" && tensorAt(dispatch, "out").shape[0]! <= 16;
}
