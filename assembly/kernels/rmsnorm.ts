// Root mean square normalisation of rows, whose length is a multiple of 4. References: transformers LlamaRMSNorm; Zhang
// and Sennrich 2019.
import { RmsnormBackward, RmsnormForward, RmsnormParametersBackward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { dot, madd, sum_lanes } from "./vector";

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
      const hat = f32x4.mul(v128.load(inp + at), scale);
      v128.store(out + at, f32x4.mul(hat, v128.load(weight + at)));
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
    const add = p.add ? p.add + base : 0;
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
    const g = f32x4.mul(v128.load(dout + at), v128.load(weight + at));
    products = madd(g, f32x4.mul(v128.load(inp + at), scale), products);
  }
  const mean = f32x4.splat(sum_lanes(products) / <f32>cols);
  for (let c: u32 = 0; c < cols; c += 4) {
    const at: usize = c << 2;
    const w = v128.load(weight + at);
    const g = f32x4.mul(v128.load(dout + at), w);
    const hat = f32x4.mul(v128.load(inp + at), scale);
    let value = f32x4.mul(scale, f32x4.sub(g, f32x4.mul(hat, mean)));
    if (add != 0) value = f32x4.add(v128.load(add + at), value);
    v128.store(out + at, f32x4.mul(hat, w));
    v128.store(dinp + at, value);
  }
}

/** dweight [cols] += sum over rows of dout * xhat; rows in order. */
export function rmsnorm_parameters_backward(p: RmsnormParametersBackward): void {
  const cols = p.cols;
  const end = slice_end(cols, GROUP);
  for (let c = slice_begin(cols, GROUP); c < end; c += 4) {
    let sum = f32x4.splat(0);
    for (let row: u32 = 0; row < p.rows; row++) {
      const at: usize = (row * cols + c) << 2;
      const hat = f32x4.mul(v128.load(p.inp + at), v128.load_splat<f32>(p.rstd + (row << 2)));
      sum = madd(v128.load(p.dout + at), hat, sum);
    }
    const to = p.dweight + (c << 2);
    v128.store(to, f32x4.add(v128.load(to), sum));
  }
}
