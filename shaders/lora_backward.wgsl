// Gradients of the adapters of one or two matrices: dA += ddown^T x, dB += dy^T down.
//
//   grad   (updates)  the buffer of all gradients: dA [r, input] of adapter i at a_at + i * stride, dB [width, r] at b_at + i * stride
//   down   (read)     the buffer with down [rows, count * r] at down_at
//   ddown  (read)     its gradient, at the same place
//   x      (read)     [rows, input]
//   dy     (read)     [rows, dy_row], adapter i's columns from column + i * step on
//   x2     (read)     x of the second matrix, with the scalars whose names end in 2
//   dy2    (read)     its dy
//
// Grid: (ceil(longest / 16), ceil(r / 8), 2 * adapters): for each adapter its A, then its B; 16 is along input or width. A lane
// makes 4 x 8 elements of a sixteenth of the rows; the parts are added up in a fixed order. Reference: Hu et al. 2021, section 4.1.

const STEP = LANES / SIDES * 4u;

/// `down` or `ddown` for STEP rows, eight columns each.
var<workgroup> beside: array<vec4f, STEP * 2u>;

struct Job {
  rows: u32,
  count: u32,
  r: u32,
  input: u32,
  width: u32,
  dy_row: u32,
  column: u32,
  step: u32,
  stride: u32,
  down_at: u32,
  a_at: u32,
  b_at: u32,
}

fn first_job() -> Job {
  return Job(
    dims.rows,
    dims.count,
    dims.r,
    dims.input,
    dims.width,
    dims.dy_row,
    dims.column,
    dims.step,
    dims.stride,
    dims.down_at,
    dims.a_at,
    dims.b_at,
  );
}

fn second_job() -> Job {
  return Job(
    dims.rows2,
    dims.count2,
    dims.r2,
    dims.input2,
    dims.width2,
    dims.dy_row2,
    dims.column2,
    dims.step2,
    dims.stride2,
    dims.down_at2,
    dims.a_at2,
    dims.b_at2,
  );
}

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
  let is_second = group.z >= 2u * dims.count;
  var job = first_job();
  var number = group.z;
  if (is_second) {
    job = second_job();
    number -= 2u * dims.count;
  }
  let adapter = number / 2u;
  let is_b = number % 2u == 1u;
  let length = select(job.input, job.width, is_b);
  if (group.x * 4u * SIDES >= length || group.y * 8u >= job.r) {
    return;
  }
  let part = lane / SIDES;
  let column = (group.x * SIDES + lane % SIDES) * 4u;
  let row_size = select(job.input, job.dy_row, is_b);
  let source = 2u * u32(is_second) + u32(is_b);
  var at = part * 4u * row_size + column + select(0u, job.column + adapter * job.step, is_b);
  let rank = group.y * 8u;
  // A lane brings row `lane` of the short side.
  let short_row = job.count * job.r;
  let ranks = rank + vec4u(0u, 1u, 2u, 3u);
  let short_column = job.down_at + adapter * job.r;
  var sums: Sums;
  for (var first = 0u; first < job.rows; first += STEP) {
    let row = first + lane;
    let low = short_column + min(row, job.rows - 1u) * short_row + min(ranks, vec4u(job.r - 1u));
    let high = short_column + min(row, job.rows - 1u) * short_row + min(ranks + 4u, vec4u(job.r - 1u));
    var values = array<vec4f, 2>();
    if (row < job.rows) {
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
    if (steps + 4u > job.rows) {
      block = cut(block, job.rows - min(steps, job.rows));
      block[0] = select(vec4f(), block[0], steps < job.rows);
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
  for (var i = 0u; i < 4u; i++) {
    let r = rank + vector / 4u * 4u + i;
    if (r < job.r) {
      let place = select(job.a_at + r * job.input + long, job.b_at + long * job.r + r, is_b);
      grad[place + adapter * job.stride] += sum[i];
    }
  }
}
