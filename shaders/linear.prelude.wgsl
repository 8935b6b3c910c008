// A matrix product with adapters and with what follows it: out = a b + bias + down up, then a residual or the
// activation.
//
//   out     (write)  [m, n]
//   act     (write)  [m, n], written by the epilogues activate_saved, activate_backward and add_saved
//   a       (read)   [m, k]
//   b       (read)   [k, n], element [k, j] at k * b_row + j * b_col, b_row or b_col is 1; f32, f16, q8, q4 by b_type
//   bias    (read)   [n], or absent
//   down    (read)   [m, adapters * r]
//   up      (read)   step d of adapter i, column j: at i * stride + d * up_row + c * up_col, c = j - column - i * step <
//                    width; else 0
//   inp     (read)   [m, n]: what the epilogues add and add_saved add, the activation's input of activate_backward
//
// Epilogues, as in src/ops/linear.ts: add, out += inp; activate, out = activation(out); activate_saved, act =
// activation(out); activate_backward, act = activation(inp) and out *= activation'(inp); add_saved, act = out + inp.

/// An operand: where its first element is, and how far the next along its side and along the depth.
struct Layout {
  at: u32,
  side: u32,
  depth: u32,
}

fn rows_of(batch: u32) -> u32 {
  return dims.m;
}

fn layout_a(batch: u32) -> Layout {
  return Layout(0u, dims.k, 1u);
}

fn columns_of(batch: u32) -> u32 {
  return dims.n;
}

fn depth_of(batch: u32) -> u32 {
  return dims.k;
}

fn layout_b(batch: u32) -> Layout {
  return Layout(0u, dims.b_col, dims.b_row);
}

fn weights() -> u32 {
  return dims.n * dims.k;
}

/// The adapters' part of the depth.
fn adapter_depth(batch: u32) -> u32 {
  return dims.adapters * dims.r;
}

/// A block of `down`: four rows, each with four steps of the depth; 0 beyond the last step.
fn adapter_a(batch: u32, row: u32, depth: u32) -> mat4x4f {
  return mat4x4f(
    down_at(batch, row, depth),
    down_at(batch, row + 1u, depth),
    down_at(batch, row + 2u, depth),
    down_at(batch, row + 3u, depth),
  );
}

fn down_at(batch: u32, row: u32, depth: u32) -> vec4f {
  let steps = depth + vec4u(0u, 1u, 2u, 3u);
  let length = adapter_depth(batch);
  let at = min(row, rows_of(batch) - 1u) * length + min(steps, vec4u(length - 1u));
  return select(vec4f(), vec4f(down[at.x], down[at.y], down[at.z], down[at.w]), steps < vec4u(length));
}

/// A block of `up`: four steps of the depth, each with four columns.
fn adapter_b(batch: u32, col: u32, depth: u32) -> mat4x4f {
  return mat4x4f(
    up_at(batch, col, depth),
    up_at(batch, col, depth + 1u),
    up_at(batch, col, depth + 2u),
    up_at(batch, col, depth + 3u),
  );
}

fn up_at(batch: u32, col: u32, depth: u32) -> vec4f {
  let i = depth / dims.r;
  // Columns before the adapter's wrap, and are beyond its width.
  let begin = dims.column + i * dims.step + select(0u, dims.skew, i > 0u);
  let columns = col + vec4u(0u, 1u, 2u, 3u) - begin;
  let width = dims.width + select(0u, dims.skew, i == 0u);
  let inside = (columns < vec4u(width)) & vec4<bool>(depth < dims.adapters * dims.r);
  let first = i * dims.stride + depth % dims.r * dims.up_row;
  let safe = select(vec4u(), first + columns * dims.up_col, inside);
  return select(vec4f(), vec4f(up[safe.x], up[safe.y], up[safe.z], up[safe.w]), inside);
}

/// The adapters' part of one element.
fn adapter_sum(batch: u32, row: u32, col: u32) -> f32 {
  var sum = 0.0;
  let length = adapter_depth(batch);
  for (var depth = 0u; depth < length; depth += 4u) {
    let block = adapter_b(batch, col, depth);
    sum += dot(down_at(batch, row, depth), vec4f(block[0].x, block[1].x, block[2].x, block[3].x));
  }
  return sum;
}

fn store(batch: u32, row: u32, col: u32, sum: f32) {
  let count = rows_of(batch);
  if (row < count) {
    store_rows(batch, vec4u(row, vec3u(count)), col, vec4f(sum));
  }
}

/// Four elements of a column. What they need is read together, at rows inside the edge.
fn store_rows(batch: u32, rows: vec4u, col: u32, sums: vec4f) {
  if (col >= dims.n) {
    return;
  }
  let count = rows_of(batch);
  let at = min(rows, vec4u(count - 1u)) * dims.n + col;
  var values = sums;
  if (dims.has_bias != 0u) {
    values += bias[col];
  }
  var activated = vec4f();
  if (dims.epilogue == EPILOGUE_ACTIVATE) {
    values = activate(values);
  } else if (dims.epilogue == EPILOGUE_ACTIVATE_SAVED) {
    activated = activate(values);
  } else if (dims.epilogue != EPILOGUE_NONE) {
    let beside = vec4f(inp[at.x], inp[at.y], inp[at.z], inp[at.w]);
    if (dims.epilogue == EPILOGUE_ADD) {
      values += beside;
    } else if (dims.epilogue == EPILOGUE_ADD_SAVED) {
      activated = values + beside;
    } else {
      activated = activate(beside);
      values *= activation_slope(beside);
    }
  }
  @unroll for (var i = 0u; i < 4u; i++) {
    if (rows[i] < count) {
      out[at[i]] = values[i];
      if (dims.has_act != 0u) {
        act[at[i]] = activated[i];
      }
    }
  }
}
