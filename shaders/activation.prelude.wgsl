// An activation and its derivative, by the constant `activation`: gelu_new, gelu, relu or tanh.
//
// gelu_new is GELU in the tanh form of GPT-2, with tanh written as a sigmoid: 0.5 * (1 + tanh(u)) = s = 1 / (1 +
// exp(-2 u)), u = sqrt(2 / pi) * (x + 0.044715 * x^3). The argument of exp is clamped, so that it does not overflow; a
// driver's tanh is good to about 1e-7 only, which large inputs multiply. Reference: llm.c gelu_backward.
//
// gelu is x * P(x), P the normal distribution. Its tail P(-|x|) = exp(-x^2 / 2) * t * (polynomial of degree 8 in t),
// t = 1 / (1 + 0.35 |x|), has a relative error of 3.2e-8. The form is Hastings' (Abramowitz and Stegun 7.1.26, whose
// five terms are good to 1.5e-7), the coefficients a minimax fit. The tail is never a difference, so that it does not
// cancel.
//
// tanh is (1 - e) / (1 + e), e = exp(-2 |x|), with the sign of x: e is at most 1, so that nothing overflows, as a
// driver's tanh does; and that may be off by 1e-5.

/// exp(-2 u)
fn gelu_decay(x: vec4f) -> vec4f {
  return exp(clamp(-1.5957691216057308 * (x + 0.044715 * x * x * x), vec4f(-80.0), vec4f(80.0)));
}

/// exp(-x^2 / 2)
fn normal_decay(x: vec4f) -> vec4f {
  return exp(max(-0.5 * x * x, vec4f(-80.0)));
}

/// P(x), from e = exp(-x^2 / 2).
fn normal(x: vec4f, e: vec4f) -> vec4f {
  let t = 1.0 / (1.0 + 0.35 * abs(x));
  var p = vec4f(-0.02914178862);
  p = p * t + 0.1439511681;
  p = p * t - 0.2556709759;
  p = p * t + 0.1591236276;
  p = p * t - 0.02307420382;
  p = p * t + 0.1054925209;
  p = p * t + 0.1198369021;
  p = p * t + 0.1398612954;
  p = p * t + 0.1396214384;
  let tail = e * (t * p);
  return select(1.0 - tail, tail, x < vec4f());
}

fn activate(x: vec4f) -> vec4f {
  if (activation == ACTIVATION_GELU) {
    return x * normal(x, normal_decay(x));
  }
  if (activation == ACTIVATION_RELU) {
    return select(x, vec4f(), x < vec4f());
  }
  return x / (1.0 + gelu_decay(x));
}

/// The derivative. gelu_new: s + x s (1 - s) 2 u'; 1 - s is made as exp(-2 u) * s: it must vanish where x is large,
/// since x^3 multiplies it. gelu: P(x) + x exp(-x^2 / 2) / sqrt(2 pi).
fn activation_slope(x: vec4f) -> vec4f {
  if (activation == ACTIVATION_GELU) {
    let e = normal_decay(x);
    return normal(x, e) + 0.3989422804014327 * x * e;
  }
  if (activation == ACTIVATION_RELU) {
    return select(vec4f(), vec4f(1.0), x > vec4f());
  }
  let e = gelu_decay(x);
  let s = 1.0 / (1.0 + e);
  return s + (x * s) * (e * s) * (1.5957691216057308 * (1.0 + 0.134145 * x * x));
}
