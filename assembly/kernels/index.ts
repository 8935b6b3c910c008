// kernels.wasm, the CPU backend: an interpreter that runs a list of the plan's kernels. Every instance computes its
// slice.

export { record_bytes, replay } from "./replay";
export { barrier, configure, scratch_bytes } from "./threads";
