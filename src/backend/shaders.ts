/** The WGSL sources by kernel name. The only file that imports .wgsl. */
import adamw from "../../shaders/adamw.wgsl";
import attention_cached from "../../shaders/attention_cached.wgsl";
import attention_forward from "../../shaders/attention_forward.wgsl";
import attention_keyvalue_backward from "../../shaders/attention_keyvalue_backward.wgsl";
import attention_query_backward from "../../shaders/attention_query_backward.wgsl";
import cache_write from "../../shaders/cache_write.wgsl";
import crossentropy_backward from "../../shaders/crossentropy_backward.wgsl";
import crossentropy_forward from "../../shaders/crossentropy_forward.wgsl";
import crossentropy_loss from "../../shaders/crossentropy_loss.wgsl";
import embedding_backward from "../../shaders/embedding_backward.wgsl";
import embedding_forward from "../../shaders/embedding_forward.wgsl";
import embedding_position_backward from "../../shaders/embedding_position_backward.wgsl";
import gather_backward from "../../shaders/gather_backward.wgsl";
import gather_forward from "../../shaders/gather_forward.wgsl";
import gelu_backward from "../../shaders/gelu_backward.wgsl";
import gelu_forward from "../../shaders/gelu_forward.wgsl";
import gradnorm_partial from "../../shaders/gradnorm_partial.wgsl";
import gradnorm_total from "../../shaders/gradnorm_total.wgsl";
import layernorm_backward from "../../shaders/layernorm_backward.wgsl";
import layernorm_forward from "../../shaders/layernorm_forward.wgsl";
import layernorm_parameters_backward from "../../shaders/layernorm_parameters_backward.wgsl";
import matmul_bias_backward from "../../shaders/matmul_bias_backward.wgsl";
import matmul_few from "../../shaders/matmul_few.wgsl";
import matmul_tall from "../../shaders/matmul_tall.wgsl";
import matmul_wide from "../../shaders/matmul_wide.wgsl";
import residual_forward from "../../shaders/residual_forward.wgsl";

export const SHADERS: Readonly<Record<string, string>> = {
  adamw,
  attention_cached,
  attention_forward,
  attention_keyvalue_backward,
  attention_query_backward,
  cache_write,
  crossentropy_backward,
  crossentropy_forward,
  crossentropy_loss,
  embedding_backward,
  embedding_forward,
  embedding_position_backward,
  gather_backward,
  gather_forward,
  gelu_backward,
  gelu_forward,
  gradnorm_partial,
  gradnorm_total,
  layernorm_backward,
  layernorm_forward,
  layernorm_parameters_backward,
  matmul_bias_backward,
  matmul_few,
  matmul_tall,
  matmul_wide,
  residual_forward,
};
