// Blocks of a matrix w [inputs, outputs] in f32 or f16.

/// Whether neighbours in memory are inputs of one output; else they are outputs.
const INPUTS_ALONG = false;

/// Four inputs from i on, for four outputs.
fn columns_at(i: u32, output: u32) -> mat4x4f {
  let at = i * dims.outputs + output;
  let next = dims.outputs;
  return mat4x4f(row_at(at), row_at(at + next), row_at(at + 2u * next), row_at(at + 3u * next));
}

fn row_at(at: u32) -> vec4f {
  return vec4f(w_at(at), w_at(at + 1u), w_at(at + 2u), w_at(at + 3u));
}
