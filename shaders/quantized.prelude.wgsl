// Weights in q8 and q4, in the layout of src/core/blocks.ts, four neighbours at a time; `at`, the number of the first, is a
// multiple of 4. A shader that reads them says where they are: `word(i)`, a word of the tensor; `weights()`, how many
// it has; and what the codes of q4 stand for, `nf4(code)` and `maximum(code)`, of which the lowest 4 and 8 bits count.

fn nested_start() -> u32 {
  return weights() / 8u + (weights() + 255u) / 256u;
}

fn mean_start() -> u32 {
  return nested_start() + (weights() + 16383u) / 16384u;
}

fn maxima_start() -> u32 {
  return mean_start() + 1u;
}

fn nf4_start() -> u32 {
  return maxima_start() + 256u;
}

/// Four weights as they lie there, with other bits above. Of q8 their codes and their scale; of q4 their codes, that of
/// their maximum, the maximum of its block, and the mean.
fn quantized_at(at: u32, kind: u32) -> vec4u {
  if (kind == TYPE_Q8) {
    return vec4u(word(at >> 2u), word((weights() >> 2u) + (at >> 6u)) >> ((at >> 1u) & 16u), 0u, 0u);
  }
  return vec4u(
    word(at >> 3u) >> ((at << 2u) & 16u),
    word((weights() >> 3u) + (at >> 8u)) >> ((at >> 3u) & 24u),
    word(nested_start() + (at >> 14u)),
    word(mean_start()),
  );
}

/// Their values, to the bit.
fn widen_quantized(four: vec4u, kind: u32) -> vec4f {
  if (kind == TYPE_Q8) {
    // Codes plus 128, as bytes without a sign are converted in one instruction. Nothing is rounded: a scale has 11
    // bits.
    let scale = unpack2x16float(four.y).x;
    let bytes = (vec4u(four.x ^ 0x80808080u) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
    return fma(vec4f(bytes), vec4f(scale), vec4f(-128.0 * scale));
  }
  // No code stands for more than 1: each `min` changes nothing, but keeps a compiler from fusing the product with a sum
  // behind it, so that it is rounded.
  let nested = bitcast<f32>(four.z);
  let most = min(maximum(four.y) * nested, nested) + bitcast<f32>(four.w);
  let values = vec4f(nf4(four.x >> 4u), nf4(four.x), nf4(four.x >> 12u), nf4(four.x >> 8u));
  return min(values * most, vec4f(abs(most)));
}
