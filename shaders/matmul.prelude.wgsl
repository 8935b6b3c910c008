// How the operands of a matrix product lie, and how sums become elements of out, inside its edges:
// out = beta * out + bias + alpha * a b, for each job: grouped GEMM, as in cuBLAS.
//
//   out     (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a       (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col; a_row or a_col is 1
//   b       (read)  [k, n], element [k, j] at b_offset + k * b_row + j * b_col, b_row or b_col is 1; f32, f16, q8, q4 by
//                   b_type
//   bias    (read)  [n], or absent
//   jobs    (read)  of each product, number `batch`: its depth (0: dims.k), strides and offsets, and alpha

/// An operand: where its first element is, and how far the next along its side and along the depth.
struct Layout {
  at: u32,
  side: u32,
  depth: u32,
}

fn rows_of(batch: u32) -> u32 {
  return dims.m;
}

fn columns_of(batch: u32) -> u32 {
  return dims.n;
}

fn depth_of(batch: u32) -> u32 {
  return select(jobs[batch].k, dims.k, jobs[batch].k == 0u);
}

fn layout_a(batch: u32) -> Layout {
  let job = jobs[batch];
  return Layout(job.a_offset, job.a_row, job.a_col);
}

fn layout_b(batch: u32) -> Layout {
  let job = jobs[batch];
  return Layout(job.b_offset, job.b_col, job.b_row);
}

/// Of the tensor that b is a part of, if it is quantised.
fn weights() -> u32 {
  return dims.b_size;
}

/// No adapters: see linear.prelude.wgsl.
fn adapter_depth(batch: u32) -> u32 {
  return 0u;
}

fn adapter_a(batch: u32, row: u32, depth: u32) -> mat4x4f {
  return mat4x4f();
}

fn adapter_b(batch: u32, col: u32, depth: u32) -> mat4x4f {
  return mat4x4f();
}

fn adapter_sum(batch: u32, row: u32, col: u32) -> f32 {
  return 0.0;
}

fn store(batch: u32, row: u32, col: u32, sum: f32) {
  if (row >= rows_of(batch) || col >= columns_of(batch)) {
    return;
  }
  let at = jobs[batch].out_offset + row * jobs[batch].out_row + col;
  var value = jobs[batch].alpha * sum;
  if (dims.has_bias != 0u) {
    value += bias[col];
  }
  if (dims.beta != 0.0) {
    value += dims.beta * out[at];
  }
  out[at] = value;
}

/// Four elements of a row.
fn store_four(batch: u32, row: u32, col: u32, sums: vec4f) {
  store(batch, row, col, sums.x);
  store(batch, row, col + 1u, sums.y);
  store(batch, row, col + 2u, sums.z);
  store(batch, row, col + 3u, sums.w);
}

/// Four elements of a column. What they need is read together, at rows inside the edge.
fn store_rows(batch: u32, rows: vec4u, col: u32, sums: vec4f) {
  if (col >= columns_of(batch)) {
    return;
  }
  let count = rows_of(batch);
  let at = jobs[batch].out_offset + min(rows, vec4u(count - 1u)) * jobs[batch].out_row + col;
  var values = jobs[batch].alpha * sums;
  if (dims.has_bias != 0u) {
    values += bias[col];
  }
  if (dims.beta != 0.0) {
    values += dims.beta * vec4f(out[at.x], out[at.y], out[at.z], out[at.w]);
  }
  if (rows.x < count) {
    out[at.x] = values.x;
  }
  if (rows.y < count) {
    out[at.y] = values.y;
  }
  if (rows.z < count) {
    out[at.z] = values.z;
  }
  if (rows.w < count) {
    out[at.w] = values.w;
  }
}
