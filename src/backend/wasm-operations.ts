/** The operations of the interpreter in kernels.wasm, and which of them a dispatch takes. */

import { KERNELS } from "../ops/generated/kernels.ts";
import { type Dispatch, tensorAt } from "../ops/kernel.ts";
import { matmulKernel } from "../ops/matmul.ts";
import type { Tensor } from "../tensor.ts";
import { isGemv } from "./variants.ts";

/** What one call of the interpreter does: a kernel of the plan, by the CPU's function of this name. */
interface Operation {
  name: string;
  /** Its arguments are this kernel's. */
  kernel: string;
}

/** Further functions for a kernel: a product of few rows, and one whose b is kept in panels. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = { matmul: ["matmul_gemv", "matmul_panels"] };

/** By number. */
export const OPERATIONS: readonly Operation[] = [
  { name: "clear", kernel: "clear" },
  ...KERNELS.flatMap(({ name: kernel }) => [kernel, ...(VARIANTS[kernel] ?? [])].map((name) => ({ name, kernel }))),
];

/** Words of a record: the operation's number and as many arguments as any kernel has. */
export const RECORD_WORDS =
  1 + Math.max(...KERNELS.map(({ bindings, dims }) => Object.keys(bindings).length + Object.keys(dims).length));

/** The name of the operation that a dispatch takes; `panels` are the weights that are kept so. */
export function operationOf(dispatch: Dispatch, panels: ReadonlySet<Tensor>): string {
  if (dispatch.kernel !== matmulKernel) return dispatch.kernel.name;
  if (panels.has(tensorAt(dispatch, "b"))) return "matmul_panels";
  return isGemv(dispatch) ? "matmul_gemv" : "matmul";
}
