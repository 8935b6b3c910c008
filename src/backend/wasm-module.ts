/** kernels.wasm, compiled, in the build that the runtime supports. */
import { allowRelaxedSimd, readAsset } from "#platform";
import type { WasmOptions } from "./backend.ts";

/** A module with one relaxed instruction (i8x16.relaxed_swizzle): valid if the runtime supports relaxed SIMD. */
const RELAXED_PROBE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
]);

export function hasRelaxedSimd(): boolean {
  if (!WebAssembly.validate(RELAXED_PROBE)) allowRelaxedSimd();
  return WebAssembly.validate(RELAXED_PROBE);
}

/** The build with fused multiply-add, or the one without. */
export interface KernelModule {
  module: WebAssembly.Module;
  fused: boolean;
}

export async function loadKernels({ relaxed: fused = hasRelaxedSimd() }: WasmOptions = {}): Promise<KernelModule> {
  const bytes = await readAsset(fused ? "kernels-relaxed.wasm" : "kernels.wasm");
  return { module: await WebAssembly.compile(bytes), fused };
}
