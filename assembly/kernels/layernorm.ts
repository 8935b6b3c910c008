// Layer normalisation of rows, whose length is a multiple of 4; variance in two passes. Reference: llm.c
// layernorm_forward, layernorm_backward.
import { LayernormBackward, LayernormForward, LayernormParametersBackward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { madd, sum_lanes } from "./vector";

/** Columns that are summed together. */
const GROUP: u32 = 16;

/** Sum of x[i], in four lanes that are added at the end. */
function sum(x: usize, cols: u32): f32 {
  let total = f32x4.splat(0);
  for (let c: u32 = 0; c < cols; c += 4) total = f32x4.add(total, v128.load(x + (c << 2)));
  return sum_lanes(total);
}

/** Sum of (x[i] - mean)^2. */
function sum_squares(x: usize, mean: f32, cols: u32): f32 {
  const middle = f32x4.splat(mean);
  let total = f32x4.splat(0);
  for (let c: u32 = 0; c < cols; c += 4) {
    const d = f32x4.sub(v128.load(x + (c << 2)), middle);
    total = madd(d, d, total);
  }
  return sum_lanes(total);
}

/** mean and rstd into stats [rows, 2]; out [rows, cols] = (inp - mean) * rstd * weight + bias. */
export function layernorm_forward(p: LayernormForward): void {
  const out = p.out;
  const stats = p.stats;
  const inp = p.inp;
  const weight = p.weight;
  const bias = p.bias;
  const rows = p.rows;
  const cols = p.cols;
  const epsilon = p.epsilon;
  const end = slice_end(rows, 1);
  for (let row = slice_begin(rows, 1); row < end; row++) {
    const x = inp + <usize>((row * cols) << 2);
    const y = out + <usize>((row * cols) << 2);
    const mean = sum(x, cols) / <f32>cols;
    const rstd: f32 = 1 / sqrt<f32>(sum_squares(x, mean, cols) / <f32>cols + epsilon);
    store<f32>(stats + (row << 3), mean);
    store<f32>(stats + (row << 3), rstd, 4);
    const middle = f32x4.splat(mean);
    const scale = f32x4.splat(rstd);
    for (let c: u32 = 0; c < cols; c += 4) {
      const at: usize = c << 2;
      const d = f32x4.sub(v128.load(x + at), middle);
      const w = v128.load(weight + at);
      const b = v128.load(bias + at);
      v128.store(y + at, madd(f32x4.mul(d, scale), w, b));
    }
  }
}

/**
 * dinp [rows, cols] = add + rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dout * weight; out [rows, cols], the
 * norm's output.
 */
export function layernorm_backward(p: LayernormBackward): void {
  const stats = p.stats;
  const rows = p.rows;
  const cols = p.cols;
  const end = slice_end(rows, 1);
  for (let row = slice_begin(rows, 1); row < end; row++) {
    const base: usize = (row * cols) << 2;
    const mean = load<f32>(stats + (row << 3));
    const rstd = load<f32>(stats + (row << 3), 4);
    layernorm_row(
      p.dinp + base,
      p.out + base,
      p.dout + base,
      p.inp + base,
      p.weight,
      p.bias,
      p.add ? p.add + base : 0,
      mean,
      rstd,
      cols,
    );
  }
}

function layernorm_row(
  dinp: usize,
  out: usize,
  dout: usize,
  inp: usize,
  weight: usize,
  bias: usize,
  add: usize,
  mean: f32,
  rstd: f32,
  cols: u32,
): void {
  const middle = f32x4.splat(mean);
  const scale = f32x4.splat(rstd);
  let sums = f32x4.splat(0);
  let products = f32x4.splat(0);
  for (let c: u32 = 0; c < cols; c += 4) {
    const at: usize = c << 2;
    const d = v128.load(dout + at);
    const g = f32x4.mul(d, v128.load(weight + at));
    const x = v128.load(inp + at);
    sums = f32x4.add(sums, g);
    products = madd(g, f32x4.mul(f32x4.sub(x, middle), scale), products);
  }
  const mean_g = f32x4.splat(sum_lanes(sums) / <f32>cols);
  const mean_product = f32x4.splat(sum_lanes(products) / <f32>cols);
  for (let c: u32 = 0; c < cols; c += 4) {
    const at: usize = c << 2;
    const d = v128.load(dout + at);
    const w = v128.load(weight + at);
    const g = f32x4.mul(d, w);
    const x = v128.load(inp + at);
    const hat = f32x4.mul(f32x4.sub(x, middle), scale);
    const again = madd(hat, w, v128.load(bias + at));
    let value = f32x4.mul(scale, f32x4.sub(f32x4.sub(g, mean_g), f32x4.mul(hat, mean_product)));
    if (add != 0) value = f32x4.add(v128.load(add + at), value);
    v128.store(out + at, again);
    v128.store(dinp + at, value);
  }
}

/** dweight [cols] += sum over rows of dout * xhat; dbias [cols] += sum over rows of dout; rows in order. */
export function layernorm_parameters_backward(p: LayernormParametersBackward): void {
  const dweight = p.dweight;
  const dbias = p.dbias;
  const dout = p.dout;
  const inp = p.inp;
  const stats = p.stats;
  const rows = p.rows;
  const cols = p.cols;
  const end = slice_end(cols, GROUP);
  for (let c = slice_begin(cols, GROUP); c < end; c += 4) {
    let weights = f32x4.splat(0);
    let biases = f32x4.splat(0);
    for (let row: u32 = 0; row < rows; row++) {
      const at: usize = (row * cols + c) << 2;
      const d = v128.load(dout + at);
      const x = v128.load(inp + at);
      const mean = v128.load_splat<f32>(stats + (row << 3));
      const rstd = v128.load_splat<f32>(stats + (row << 3), 4);
      weights = madd(f32x4.mul(d, f32x4.sub(x, mean)), rstd, weights);
      biases = f32x4.add(biases, d);
    }
    const w = dweight + (c << 2);
    const b = dbias + (c << 2);
    v128.store(w, f32x4.add(v128.load(w), weights));
    v128.store(b, f32x4.add(v128.load(b), biases));
  }
}
