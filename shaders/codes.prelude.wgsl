// What the codes of q4 stand for, read where they are stored.

fn nf4(code: u32) -> f32 {
  return bitcast<f32>(word(nf4_start() + (code & 15u)));
}

fn maximum(code: u32) -> f32 {
  return bitcast<f32>(word(maxima_start() + (code & 255u)));
}
