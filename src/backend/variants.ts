/** Selection of kernel variants that all backends share. */
import { type Dispatch, scalarAt, tensorAt } from "../ops/kernel.ts";

/**
 * Whether a product has one row per generated sequence, and never many rows. The choice does not depend on the actual
 * number of rows, so that a row's bits do not either.
 */
export function isGemv(dispatch: Dispatch): boolean {
  return scalarAt(dispatch, "m") === "slots" && tensorAt(dispatch, "out").shape[0]! <= 16;
}
