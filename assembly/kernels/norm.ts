// LayerNorm, variance in two passes, and RMS norm, of rows whose length is a multiple of 4. References: llm.c
// layernorm_forward, layernorm_backward; transformers LlamaRMSNorm; Zhang and Sennrich 2019.
import { NormBackward, NormForward, NormParametersBackward } from "./generated/records";
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

/** Four elements of the bias, or what added to any number, -0 too, leaves it as it is. */
function load_bias(bias: usize, at: usize): v128 {
  return bias ? v128.load(bias + at) : f32x4.splat(-0.0);
}

/** mean, or 0, and rstd into stats [rows, 2]; out [rows, cols] = (inp - mean) * rstd * weight + bias. */
export function norm_forward(p: NormForward): void {
  const cols = p.cols;
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const base: usize = (row * cols) << 2;
    const x = p.inp + base;
    const mean: f32 = p.centred ? sum(x, cols) / <f32>cols : 0;
    const rstd: f32 = 1 / sqrt<f32>(sum_squares(x, mean, cols) / <f32>cols + p.epsilon);
    const stats = p.stats + (row << 3);
    store<f32>(stats, mean);
    store<f32>(stats, rstd, 4);
    scale_row(p.out + base, x, p.weight, p.bias, mean, rstd, cols);
  }
}

function scale_row(out: usize, inp: usize, weight: usize, bias: usize, mean: f32, rstd: f32, cols: u32): void {
  const middle = f32x4.splat(mean);
  const scale = f32x4.splat(rstd);
  for (let at: usize = 0; at < cols << 2; at += 16) {
    const hat = f32x4.mul(f32x4.sub(v128.load(inp + at), middle), scale);
    v128.store(out + at, madd(hat, v128.load(weight + at), load_bias(bias, at)));
  }
}

/**
 * dinp [rows, cols] = add + rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dout * weight, mean(g) only where the norm
 * is centred; out [rows, cols], the norm's output.
 */
export function norm_backward(p: NormBackward): void {
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) norm_row(p, row);
}

function norm_row(p: NormBackward, row: u32): void {
  const cols = p.cols;
  const base: usize = (row * cols) << 2;
  const dinp = p.dinp + base;
  const out = p.out + base;
  const dout = p.dout + base;
  const inp = p.inp + base;
  const weight = p.weight;
  const middle = v128.load_splat<f32>(p.stats + (row << 3));
  const scale = v128.load_splat<f32>(p.stats + (row << 3), 4);
  let sums = f32x4.splat(0);
  let products = f32x4.splat(0);
  for (let at: usize = 0; at < cols << 2; at += 16) {
    const g = f32x4.mul(v128.load(dout + at), v128.load(weight + at));
    sums = f32x4.add(sums, g);
    products = madd(g, f32x4.mul(f32x4.sub(v128.load(inp + at), middle), scale), products);
  }
  const mean_g = f32x4.splat(p.centred ? sum_lanes(sums) / <f32>cols : 0);
  const mean_product = f32x4.splat(sum_lanes(products) / <f32>cols);
  const add = p.add ? p.add + base : 0;
  const bias = p.bias;
  for (let at: usize = 0; at < cols << 2; at += 16) {
    const w = v128.load(weight + at);
    const g = f32x4.mul(v128.load(dout + at), w);
    const hat = f32x4.mul(f32x4.sub(v128.load(inp + at), middle), scale);
    let value = f32x4.mul(scale, f32x4.sub(f32x4.sub(g, mean_g), f32x4.mul(hat, mean_product)));
    if (add) value = f32x4.add(v128.load(add + at), value);
    v128.store(out + at, madd(hat, w, load_bias(bias, at)));
    v128.store(dinp + at, value);
  }
}

/** dweight [cols] += sum over rows of dout * xhat; dbias [cols] += sum over rows of dout; rows in order. */
export function norm_parameters_backward(p: NormParametersBackward): void {
  const cols = p.cols;
  const end = slice_end(cols, GROUP);
  for (let c = slice_begin(cols, GROUP); c < end; c += 4) {
    let weights = f32x4.splat(0);
    let biases = f32x4.splat(0);
    for (let row: u32 = 0; row < p.rows; row++) {
      const at: usize = (row * cols + c) << 2;
      const d = v128.load(p.dout + at);
      const x = v128.load(p.inp + at);
      const mean = v128.load_splat<f32>(p.stats + (row << 3));
      const rstd = v128.load_splat<f32>(p.stats + (row << 3), 4);
      weights = p.centred
        ? madd(f32x4.mul(d, f32x4.sub(x, mean)), rstd, weights)
        : madd(d, f32x4.mul(x, rstd), weights);
      biases = f32x4.add(biases, d);
    }
    const w = p.dweight + (c << 2);
    v128.store(w, f32x4.add(v128.load(w), weights));
    if (p.dbias) {
      const b = p.dbias + (c << 2);
      v128.store(b, f32x4.add(v128.load(b), biases));
    }
  }
}
