// An element of the token table in q8 or q4.

fn word(i: u32) -> u32 {
  return wte[i];
}

fn weights() -> u32 {
  return dims.count * dims.cols;
}

fn nf4(code: u32) -> f32 {
  return bitcast<f32>(wte[nf4_start() + (code & 15u)]);
}

fn maximum(code: u32) -> f32 {
  return bitcast<f32>(wte[maxima_start() + (code & 255u)]);
}

fn token_at(i: u32) -> f32 {
  return widen_quantized(quantized_at(i / 4u * 4u, wte_type), wte_type)[i % 4u];
}
