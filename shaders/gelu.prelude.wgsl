// GELU in the tanh form of GPT-2 (gelu_new), with tanh written as a sigmoid: 0.5 * (1 + tanh(u)) = s = 1 / (1 + exp(-2 u)),
// u = sqrt(2 / pi) * (x + 0.044715 * x^3). The argument of exp is clamped, so that it does not overflow; a driver's tanh is good to about
// 1e-7 only, which large inputs multiply. Reference: llm.c gelu_backward.

/// exp(-2 u)
fn gelu_decay(x: vec4f) -> vec4f {
  return exp(clamp(-1.5957691216057308 * (x + 0.044715 * x * x * x), vec4f(-80.0), vec4f(80.0)));
}

fn gelu(x: vec4f) -> vec4f {
  return x / (1.0 + gelu_decay(x));
}

/// s + x s (1 - s) 2 u'. 1 - s is made as exp(-2 u) * s: it must vanish where x is large, since x^3 multiplies it.
fn gelu_slope(x: vec4f) -> vec4f {
  let e = gelu_decay(x);
  let s = 1.0 / (1.0 + e);
  return s + (x * s) * (e * s) * (1.5957691216057308 * (1.0 + 0.134145 * x * x));
}
