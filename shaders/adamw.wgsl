// One step of AdamW over a page of parameters, with clipping by the norm of all gradients.
//
//   g = grad * min(1, clip / (norm + 1e-6));  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   param = param * (1 - q * lr * weight_decay) - q * step_size * m / (sqrt(v) / correction2 + epsilon)
//
//   param    (updates)  [parameters]
//   m        (updates)  [parameters]
//   v        (updates)  [parameters]
//   grad     (read)     [parameters]
//   metrics  (read)     [results, 4]: the norm is metrics[slot].z
//   stopped  (read)     [1]: nothing is updated where it is not 0
//   rates    (read)     [groups]: q of 64 parameters each; if absent, q = 1
//
// step_size = lr / (1 - beta1^t), correction2 = sqrt(1 - beta2^t), lr_decay = lr * weight_decay and decay = 1 -
// lr_decay come from the host, in f64. clip = 0: no clipping.
// Grid: flat over count. Reference: torch.optim.AdamW and torch.nn.utils.clip_grad_norm_.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.count || stopped[0] != 0u) {
    return;
  }
  var g = grad[i];
  if (dims.clip > 0.0) {
    g *= min(1.0, dims.clip / (metrics[dims.slot].z + 1e-6));
  }
  let m_new = dims.beta1 * m[i] + dims.one_minus_beta1 * g;
  let v_new = dims.beta2 * v[i] + dims.one_minus_beta2 * g * g;
  m[i] = m_new;
  v[i] = v_new;
  var decay = dims.decay;
  var step_size = dims.step_size;
  if (dims.has_rates != 0u) {
    let q = rates[i / VIEW_ALIGN];
    if (q != 1.0) {
      decay = 1.0 - q * dims.lr_decay;
      step_size *= q;
    }
  }
  param[i] = param[i] * decay - step_size * m_new / (sqrt(v_new) / dims.correction2 + dims.epsilon);
}
