// Root mean square normalisation. References: transformers LlamaRMSNorm; Zhang and Sennrich 2019.
import { RmsnormBackward, RmsnormForward, RmsnormParametersBackward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { dot, load_some, madd, store_some, sum_lanes } from "./vector";

/** Columns that are summed together. */
const GROUP: u32 = 16;

/** rstd [rows, 1] = 1 / sqrt(mean(inp^2) + epsilon); out [rows, cols] = inp * rstd * weight. */
export function rmsnorm_forward(p: RmsnormForward): void {
  const weight = p.weight;
  const cols = p.cols;
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const base: usize = (row * cols) << 2;
    const inp = p.inp + base;
    const out = p.out + base;
    const rstd: f32 = 1 / sqrt<f32>(dot(inp, inp, cols) / <f32>cols + p.epsilon);
    store<f32>(p.rstd + (row << 2), rstd);
    const scale = f32x4.splat(rstd);
    for (let c: u32 = 0; c < cols; c += 4) {
      const at: usize = c << 2;
      const rest = min<u32>(4, cols - c);
      const hat = f32x4.mul(load_some(inp + at, rest), scale);
      store_some(out + at, f32x4.mul(hat, load_some(weight + at, rest)), rest);
    }
  }
}

/**
 * dinp [rows, cols] = add + rstd * (g - xhat * mean(g * xhat)), g = dout * weight; out [rows, cols], the norm's output.
 */
export function rmsnorm_backward(p: RmsnormBackward): void {
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const base: usize = (row * p.cols) << 2;
    const add = p.has_add ? p.add + base : 0;
    const rstd = load<f32>(p.rstd + (row << 2));
    rmsnorm_row(p.dinp + base, p.out + base, p.dout + base, p.inp + base, p.weight, add, rstd, p.cols);
  }
}

function rmsnorm_row(
  dinp: usize,
  out: usize,
  dout: usize,
  inp: usize,
  weight: usize,
  add: usize,
  rstd: f32,
  cols: u32,
): void {
  const scale = f32x4.splat(rstd);
  let products = f32x4.splat(0);
  for (let c: u32 = 0; c < cols; c += 4) {
    const at: usize = c << 2;
    const rest = min<u32>(4, cols - c);
    const g = f32x4.mul(load_some(dout + at, rest), load_some(weight + at, rest));
    products = madd(g, f32x4.mul(load_some(inp + at, rest), scale), products);
  }
  const mean = f32x4.splat(sum_lanes(products) / <f32>cols);
  for (let c: u32 = 0; c < cols; c += 4) {
    const at: usize = c << 2;
    const rest = min<u32>(4, cols - c);
    const w = load_some(weight + at, rest);
    const g = f32x4.mul(load_some(dout + at, rest), w);
    const hat = f32x4.mul(load_some(inp + at, rest), scale);
    let value = f32x4.mul(scale, f32x4.sub(g, f32x4.mul(hat, mean)));
    if (add != 0) value = f32x4.add(load_some(add + at, rest), value);
    store_some(out + at, f32x4.mul(hat, w), rest);
    store_some(dinp + at, value, rest);
  }
}

/** dweight [cols] += sum over rows of dout * xhat; rows in order. */
export function rmsnorm_parameters_backward(p: RmsnormParametersBackward): void {
  const cols = p.cols;
  const end = slice_end(cols, GROUP);
  for (let c = slice_begin(cols, GROUP); c < end; c += 4) {
    const rest = min<u32>(4, end - c);
    let sum = f32x4.splat(0);
    for (let row: u32 = 0; row < p.rows; row++) {
      const at: usize = (row * cols + c) << 2;
      const hat = f32x4.mul(load_some(p.inp + at, rest), v128.load_splat<f32>(p.rstd + (row << 2)));
      sum = madd(load_some(p.dout + at, rest), hat, sum);
    }
    const to = p.dweight + (c << 2);
    store_some(to, f32x4.add(load_some(to, rest), sum), rest);
  }
}
