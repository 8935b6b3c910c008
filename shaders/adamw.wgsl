// One step of AdamW over pages of parameters in one buffer, with clipping by their member's norm: a job a page.
//
//   g = grad * min(1, clip / (norm + 1e-6));  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   param = param * (1 - q * lr * weight_decay) - q * step_size * m / (sqrt(v) / correction2 + epsilon)
//
//   param    (updates)  [parameters]
//   m        (updates)  [parameters]
//   v        (updates)  [parameters]
//   grad     (read)     [parameters]
//   metrics  (read)     [results, 4], slots of each member: the norm is metrics[member * slots + slot].z
//   stopped  (read)     [members]: a member is not updated where it is not 0
//   rates    (read)     [groups]: q of 64 parameters each; if absent, q = 1
//   jobs     (read)     [entries, words]: member and clip of each page, where it is: at .. at + count, and its rates
//   shares   (read)     [entries, share_words]: is_updated, decay, lr_decay, step_size and correction2 of each member
//
// step_size = lr / (1 - beta1^t), correction2 = sqrt(1 - beta2^t), lr_decay = lr * weight_decay and decay = 1 -
// lr_decay come from the host, in f64. clip = 0: no clipping.
// Grid: flat over the largest page; z: pages. Reference: torch.optim.AdamW and torch.nn.utils.clip_grad_norm_.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let job = jobs[id.z];
  let index = id.y * groups.x * 256u + id.x;
  if (index >= job.count || stopped[job.member] != 0u || shares[job.member].is_updated == 0u) {
    return;
  }
  let i = job.at + index;
  var g = grad[i];
  if (job.clip > 0.0) {
    g *= min(1.0, job.clip / (metrics[job.member * dims.slots + dims.slot].z + 1e-6));
  }
  let m_new = dims.beta1 * m[i] + dims.one_minus_beta1 * g;
  let v_new = dims.beta2 * v[i] + dims.one_minus_beta2 * g * g;
  m[i] = m_new;
  v[i] = v_new;
  var decay = shares[job.member].decay;
  var step_size = shares[job.member].step_size;
  if (dims.has_rates != 0u) {
    let q = rates[job.rates_at + index / VIEW_ALIGN];
    if (q != 1.0) {
      decay = 1.0 - q * shares[job.member].lr_decay;
      step_size *= q;
    }
  }
  param[i] = param[i] * decay - step_size * m_new / (sqrt(v_new) / shares[job.member].correction2 + dims.epsilon);
}
