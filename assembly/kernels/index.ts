// kernels.wasm, the CPU backend: every kernel of the plan, by the names and argument orders of src/ops (tensors as addresses
// in binding order, then dims), and the interpreter that replays a list of them. Every instance does its slice.

export { adamw } from "./adamw";
export {
  attention_cached,
  attention_forward,
  attention_keyvalue_backward,
  attention_query_backward,
} from "./attention";
export { cache_write } from "./cache";
export { crossentropy_backward, crossentropy_forward, crossentropy_loss } from "./crossentropy";
export { embedding_backward, embedding_forward, embedding_position_backward } from "./embedding";
export { gather_backward, gather_forward } from "./gather";
export { gelu_backward, gelu_forward } from "./gelu";
export { gradnorm_partial, gradnorm_total } from "./gradnorm";
export { layernorm_backward, layernorm_forward, layernorm_parameters_backward } from "./layernorm";
export { matmul_bias_backward, matmul_few, matmul_panels, matmul_tall, matmul_wide } from "./matmul";
export { record_bytes, replay } from "./replay";
export { residual_forward } from "./residual";
export { configure, scratch_bytes } from "./threads";
