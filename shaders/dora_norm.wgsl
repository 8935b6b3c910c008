// The lengths of the columns of a matrix with its adapters, which are not added to it in memory.
//
//   norm[j] = sqrt(sum_i (w[i, j] + scale * sum_k A[k, i] * B[j, k])^2)   for first <= j < end
//
//   norm  (write)  [outputs]
//   w     (read)   [inputs, outputs] in f32 or f16; in q8 or q4 it is stored as [outputs, inputs]
//   A     (read)   [a_size]: adapter a's [r, inputs] from a * stride on
//   B     (read)   [b_size]: adapter a's [width, r] from a * stride on, of the columns from column + a * step on
//
// Grid: ceil((end - first) / 16). A lane makes blocks of 4 inputs x 4 outputs: 4 lanes lie along the outputs, 64 along
// the inputs, neighbours along what lies side by side in w. Then 16 lanes add up the parts of an output each, in order.
// Reference: Liu et al. 2024, equation 5.

const LANES = 256u;
const SIDES = 4u;
const PARTS = LANES / SIDES;

/// Each lane's sums of four outputs, a part behind the other.
var<workgroup> partial: array<vec4f, LANES>;

/// In blocks: the weights of w.
fn weights() -> u32 {
  return dims.inputs * dims.outputs;
}

/// Whether w is in blocks: neighbours in memory are then inputs of one output; else they are outputs.
fn is_in_blocks() -> bool {
  return w_type >= TYPE_Q8;
}

/// Four inputs from i on, for four outputs.
fn columns_at(i: u32, output: u32) -> mat4x4f {
  if (is_in_blocks()) {
    let at = output * dims.inputs + i;
    let next = dims.inputs;
    return transpose(mat4x4f(w_four(at), w_four(at + next), w_four(at + 2u * next), w_four(at + 3u * next)));
  }
  let at = i * dims.outputs + output;
  let next = dims.outputs;
  return mat4x4f(w_four(at), w_four(at + next), w_four(at + 2u * next), w_four(at + 3u * next));
}

/// The first output that an adapter writes.
fn first_output(a: u32) -> u32 {
  return dims.column + a * dims.step + select(0u, dims.skew, a > 0u);
}

/// The number of the adapter that writes an output; dims.count if there is none.
fn adapter_of(output: u32) -> u32 {
  var own = dims.count;
  for (var a = 0u; a < dims.count; a++) {
    let begin = first_output(a);
    if (output >= begin && output - begin < dims.width + select(0u, dims.skew, a == 0u)) {
      own = a;
    }
  }
  return own;
}

/// (B A)^T for four inputs and four outputs: A from a on, in fours, B from b on.
fn adapter_block(a: u32, b: u32) -> mat4x4f {
  let r = dims.r;
  let next = dims.inputs / 4u;
  var sum: mat4x4f;
  for (var k = 0u; k < r; k++) {
    let y = vec4f(B[b + k], B[b + r + k], B[b + 2u * r + k], B[b + 3u * r + k]);
    let x = A[a + k * next];
    sum += mat4x4f(x.x * y, x.y * y, x.z * y, x.w * y);
  }
  return sum;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let side = select(lane % SIDES, lane / PARTS, is_in_blocks());
  let part = select(lane / SIDES, lane % PARTS, is_in_blocks());
  let output = dims.first + (group.x * SIDES + side) * 4u;
  var sum = vec4f();
  if (output < dims.end) {
    let own = adapter_of(output);
    let a = own * dims.stride / 4u;
    let b = own * dims.stride + (output - first_output(own)) * dims.r;
    for (var i = part * 4u; i < dims.inputs; i += PARTS * 4u) {
      var block = columns_at(i, output);
      if (own < dims.count) {
        block += dims.scale * adapter_block(a + i / 4u, b);
      }
      sum += block[0] * block[0] + block[1] * block[1] + block[2] * block[2] + block[3] * block[3];
    }
  }
  partial[part * SIDES + side] = sum;
  workgroupBarrier();
  if (lane < 4u * SIDES && dims.first + group.x * 4u * SIDES + lane < dims.end) {
    var total = 0.0;
    for (var i = 0u; i < PARTS; i++) {
      total += partial[i * SIDES + lane / 4u][lane % 4u];
    }
    norm[dims.first + group.x * 4u * SIDES + lane] = sqrt(total);
  }
}
