/**
 * The operations of the interpreter in kernels.wasm, and the choice of one for a dispatch. Kernels are known by their
 * names, so that a page loads no definitions of those that its plans do not have.
 */
import { type Dispatch, isGemv, tensorAt } from "../ops/kernel.ts";
import type { Tensor } from "../tensor.ts";
import { KERNEL_NAMES, MOST_ARGUMENTS } from "./generated/kernel-names.ts";

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
  ...KERNEL_NAMES.flatMap((kernel) => [kernel, ...(VARIANTS[kernel] ?? [])].map((name) => ({ name, kernel }))),
];

/** Words per record: the operation number and the largest number of arguments. */
export const RECORD_WORDS = 1 + MOST_ARGUMENTS;

/** The name of the operation for a dispatch; `panels` are the weights stored in panels. */
export function chooseOperation(dispatch: Dispatch, panels: ReadonlySet<Tensor>): string {
  const { name, inBlocks } = dispatch.kernel;
  if (!Object.hasOwn(VARIANTS, name)) return name;
  if (panels.has(tensorAt(dispatch, inBlocks!))) return `${name}_panels`;
  return name === "matmul" && isGemv(dispatch) ? "matmul_gemv" : name;
}
