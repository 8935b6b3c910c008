// Blocks of a matrix w [inputs, outputs] in q8 or q4, which is stored as [outputs, inputs].

/// Whether neighbours in memory are inputs of one output; else they are outputs.
const INPUTS_ALONG = true;

fn word(i: u32) -> u32 {
  return w[i];
}

fn weights() -> u32 {
  return dims.inputs * dims.outputs;
}

fn nf4(code: u32) -> f32 {
  return bitcast<f32>(w[nf4_start() + (code & 15u)]);
}

fn maximum(code: u32) -> f32 {
  return bitcast<f32>(w[maxima_start() + (code & 255u)]);
}

/// Four inputs from i on, for four outputs.
fn columns_at(i: u32, output: u32) -> mat4x4f {
  let at = output * dims.inputs + i;
  let next = dims.inputs;
  return transpose(mat4x4f(four_at(at), four_at(at + next), four_at(at + 2u * next), four_at(at + 3u * next)));
}

fn four_at(at: u32) -> vec4f {
  return widen_quantized(quantized_at(at, w_type), w_type);
}
