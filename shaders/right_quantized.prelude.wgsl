// Four neighbouring elements of b in q8 or q4. What the codes of q4 stand for is kept in workgroup memory, which
// `prepare_b` fills. What lies beyond an edge is not used: an index beyond the end reads the last.

var<workgroup> shared_nf4: array<f32, 16>;
var<workgroup> shared_maxima: array<f32, 256>;

fn b_at(at: u32) -> vec4u {
  return quantized_at(min(at, weights() - 4u), b_type);
}

fn widen_b(four: vec4u) -> vec4f {
  return widen_quantized(four, b_type);
}

fn prepare_b(lane: u32) {
  if (b_type == TYPE_Q4) {
    for (var i = lane; i < 256u; i += LANES) {
      shared_maxima[i] = bitcast<f32>(word(maxima_start() + i));
    }
    if (lane < 16u) {
      shared_nf4[lane] = bitcast<f32>(word(nf4_start() + lane));
    }
    workgroupBarrier();
  }
}

fn word(i: u32) -> u32 {
  return b[i];
}

fn nf4(code: u32) -> f32 {
  return shared_nf4[code & 15u];
}

fn maximum(code: u32) -> f32 {
  return shared_maxima[code & 255u];
}
