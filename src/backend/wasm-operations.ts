/** The operations of the interpreter in kernels.wasm, and the choice of one for a dispatch. */

import { KERNELS } from "../ops/generated/kernels.ts";
import { type Dispatch, tensorAt } from "../ops/kernel.ts";
import { matmulKernel } from "../ops/matmul.ts";
import type { Tensor } from "../tensor.ts";
import { isGemv } from "./variants.ts";

/** An operation: the CPU function of this name, which implements a kernel of the plan. */
interface Operation {
  name: string;
  /** The kernel whose arguments it takes. */
  kernel: string;
}

/** Further functions for a kernel: a product with few rows, and those that read a matrix in panels. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  matmul: ["matmul_gemv", "matmul_panels"],
  linear: ["linear_panels"],
  linear_grouped: ["linear_grouped_panels"],
  dora_norm: ["dora_norm_panels"],
};

/** Indexed by operation number. */
export const OPERATIONS: readonly Operation[] = [
  { name: "clear", kernel: "clear" },
  ...KERNELS.flatMap(({ name: kernel }) => [kernel, ...(VARIANTS[kernel] ?? [])].map((name) => ({ name, kernel }))),
];

/** Words per record: the operation number and the largest number of arguments. */
export const RECORD_WORDS =
  1 + Math.max(...KERNELS.map(({ bindings, dims }) => Object.keys(bindings).length + Object.keys(dims).length));

/** The name of the operation for a dispatch; `panels` are the weights stored in panels. */
export function chooseOperation(dispatch: Dispatch, panels: ReadonlySet<Tensor>): string {
  const { kernel } = dispatch;
  if (!Object.hasOwn(VARIANTS, kernel.name)) return kernel.name;
  if (panels.has(tensorAt(dispatch, kernel.inBlocks!))) return `${kernel.name}_panels`;
  return kernel === matmulKernel && isGemv(dispatch) ? "matmul_gemv" : kernel.name;
}
