// Gradients of the adapters of one or two matrices: dA += ddown^T x, dB += dy^T down.
//
//   grad    (updates)  the buffer of all gradients: dA [r, input] at a_at, dB [width, r] at b_at
//   down    (read)     the buffer with the adapter's down: r columns of rows of down_row, from down_at on
//   ddown   (read)     its gradient, at the same place
//   x       (read)     [rows, input]
//   dy      (read)     [rows, dy_row], the adapter's columns from `column` on
//   x2      (read)     x of the second matrix, or absent
//   dy2     (read)     its dy, or absent
//   jobs    (read)     of each adapter, the above
//
// Grid: (ceil(longest / 16), ceil(rank / 8), 2 * jobs): for each adapter its A, then its B; 16 is along input or width.
// A lane makes 4 x 8 elements of a sixteenth of the rows; the parts are added up in a fixed order. Reference: Hu et al.
// 2021, section 4.1.

const STEP = LANES / SIDES * 4u;

/// `down` or `ddown` for STEP rows, eight columns each.
var<workgroup> beside: array<vec4f, STEP * 2u>;

/// Four columns of x, dy, x2 or dy2.
fn long_at(source: u32, at: u32) -> vec4f {
  let i = at >> 2u;
  switch (source) {
    case 0u: {
      return x[min(i, arrayLength(&x) - 1u)];
    }
    case 1u: {
      return dy[min(i, arrayLength(&dy) - 1u)];
    }
    case 2u: {
      return x2[min(i, arrayLength(&x2) - 1u)];
    }
    default: {
      return dy2[min(i, arrayLength(&dy2) - 1u)];
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let job = jobs[group.z / 2u];
  let is_b = group.z % 2u == 1u;
  let rows = select(dims.rows, dims.rows2, job.second != 0u);
  let length = select(job.input, job.width, is_b);
  if (group.x * 4u * SIDES >= length || group.y * 8u >= job.r) {
    return;
  }
  let part = lane / SIDES;
  let column = (group.x * SIDES + lane % SIDES) * 4u;
  let row_size = select(job.input, job.dy_row, is_b);
  let source = 2u * job.second + u32(is_b);
  var at = part * 4u * row_size + column + select(0u, job.column, is_b);
  let rank = group.y * 8u;
  // A lane brings row `lane` of the short side.
  let ranks = rank + vec4u(0u, 1u, 2u, 3u);
  var sums: Sums;
  for (var first = 0u; first < rows; first += STEP) {
    let row = first + lane;
    let low = job.down_at + min(row, rows - 1u) * job.down_row + min(ranks, vec4u(job.r - 1u));
    let high = job.down_at + min(row, rows - 1u) * job.down_row + min(ranks + 4u, vec4u(job.r - 1u));
    var values = array<vec4f, 2>();
    if (row < rows) {
      if (is_b) {
        values[0] = vec4f(down[low.x], down[low.y], down[low.z], down[low.w]);
        values[1] = vec4f(down[high.x], down[high.y], down[high.z], down[high.w]);
      } else {
        values[0] = vec4f(ddown[low.x], ddown[low.y], ddown[low.z], ddown[low.w]);
        values[1] = vec4f(ddown[high.x], ddown[high.y], ddown[high.z], ddown[high.w]);
      }
    }
    beside[lane % STEP] = values[0];
    beside[lane % STEP + STEP] = values[1];
    var block = mat4x4f(
      long_at(source, at),
      long_at(source, at + row_size),
      long_at(source, at + 2u * row_size),
      long_at(source, at + 3u * row_size),
    );
    workgroupBarrier();
    let steps = first + part * 4u;
    if (steps + 4u > rows) {
      block = cut(block, rows - min(steps, rows));
      block[0] = select(vec4f(), block[0], steps < rows);
    }
    let step = part % 16u * 4u;
    sums.low = add_block(sums.low, block, mat4x4f(beside[step], beside[step + 1u], beside[step + 2u], beside[step + 3u]));
    sums.high = add_block(
      sums.high,
      block,
      mat4x4f(beside[step + STEP], beside[step + STEP + 1u], beside[step + STEP + 2u], beside[step + STEP + 3u]),
    );
    at += STEP * row_size;
    workgroupBarrier();
  }
  let sum = total(sums, lane, SIDES);
  let vector = lane / SIDES;
  if (vector >= 8u) {
    return;
  }
  let long = column + vector % 4u;
  if (long >= length) {
    return;
  }
  @unroll for (var i = 0u; i < 4u; i++) {
    let r = rank + vector / 4u * 4u + i;
    if (r < job.r) {
      let place = select(job.a_at + r * job.input + long, job.b_at + long * job.r + r, is_b);
      grad[place] += sum[i];
    }
  }
}
