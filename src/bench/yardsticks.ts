/** A GPU's peak rates, with which kernels are compared: of a plain copy and of a plain loop of multiply-adds. */
import type { Backend } from "../backend/backend.ts";
import { Tensor } from "../core/tensor.ts";
import { activationForward } from "../ops/activation.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Kernel } from "../ops/kernel.ts";
import { prepareDispatch, stopwatch, type Work, wallTime } from "./timing.ts";

export interface Yardsticks {
  /** GB/s read and written. */
  copy: number;
  /** GFLOP/s; a multiply-add is two operations. */
  multiplyAdd: number;
}

/** Bytes that are copied: with the copy, more than the caches of most GPUs. */
const COPY_BYTES = 64 << 20;
/** Lanes that multiply and add, more than a GPU runs at once; each has 16 sums that do not wait for each other. */
const LANES = 1 << 20;
const SUMS = 16;
const ROUNDS = 16;
/** Multiply-adds of each sum per round: enough that the loop itself costs little. */
const UNROLLED = 8;

const REPEATS = 3;
const REPEATS_OF_LITTLE = 20;

const copyKernel: Kernel<"out" | "inp", "count"> = {
  ...defineKernel("copy", { out: "write vec4f", inp: "read vec4f" }, { count: "u32" }, ({ count }) =>
    flatGrid(count, 256),
  ),
  wgsl: `
struct Dims { count: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(1) var<storage, read> inp: array<vec4f>;
@group(0) @binding(2) var<uniform> dims: Dims;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < dims.count) { out[id.x] = inp[id.x]; }
}`,
};

/** Factor and term are not constants, so that no compiler shortens the loop; with factor 0.5 the sums stay finite. */
const multiplyAddKernel: Kernel<"out", "lanes" | "rounds" | "factor" | "term"> = {
  ...defineKernel(
    "multiply_add",
    { out: "write" },
    { lanes: "u32", rounds: "u32", factor: "f32", term: "f32" },
    ({ lanes }) => flatGrid(lanes, 256),
  ),
  wgsl: `
struct Dims { lanes: u32, rounds: u32, factor: f32, term: f32 }
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> dims: Dims;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let f = vec4f(dims.factor);
  let t = vec4f(dims.term);
  var a = vec4f(f32(id.x));
  var b = a + 1.0;
  var c = a + 2.0;
  var d = a + 3.0;
  for (var i = 0u; i < dims.rounds; i++) {
    ${"a = fma(a, f, t); b = fma(b, f, t); c = fma(c, f, t); d = fma(d, f, t);\n".repeat(UNROLLED)}
  }
  if (id.x < dims.lanes) { out[id.x] = dot(a + b, c + d); }
}`,
};

/** Measures a WebGPU device; null for the CPU, whose kernels these are not. */
export async function measureYardsticks(device: Backend): Promise<Yardsticks | null> {
  if (device.info.kind !== "webgpu") return null;
  const count = Math.min(COPY_BYTES, device.limits.maxBinding) >> 4;
  const [inp, copied] = ["inp", "out"].map((name) => new Tensor(name, [4 * count], "output")) as [Tensor, Tensor];
  const sums = new Tensor("out", [LANES], "output");
  const copy = dispatch(copyKernel, { out: copied, inp }, { count });
  const factors = { lanes: LANES, rounds: ROUNDS, factor: 0.5, term: 1 };
  const multiplyAdd = dispatch(multiplyAddKernel, { out: sums }, factors);
  return {
    copy: (2 * copied.bytes) / (await best(device, copy, copied)) / 1e6,
    multiplyAdd: (2 * LANES * SUMS * ROUNDS * UNROLLED) / (await best(device, multiplyAdd, sums)) / 1e6,
  };
}

/** Milliseconds of a dispatch: the fastest of several. */
async function best(device: Backend, dispatched: Dispatch, result: Tensor): Promise<number> {
  const work = await prepareDispatch(device, dispatched, result, 1);
  const { measure } = await stopwatch(device, work);
  let ms = Infinity;
  for (let i = 0; i < REPEATS; i++) ms = Math.min(ms, await measure());
  work.session.destroy();
  return ms;
}

/** The least that any piece of work costs, however small it is. */
export interface Latency {
  /** Microseconds of a dispatch among many in one submission. */
  dispatch: number;
  /** Milliseconds from a submission until its result has been read. */
  readback: number;
}

const DISPATCHES = 256;

/** Measures dispatches that compute next to nothing, by the host's clock. */
export async function measureLatency(device: Backend): Promise<Latency> {
  const [inp, out] = ["inp", "out"].map((name) => new Tensor(name, [1, 64], "output")) as [Tensor, Tensor];
  const dispatched = activationForward(out, inp, 1, "relu");
  const [one, many] = await Promise.all(
    [1, DISPATCHES].map((copies) => prepareDispatch(device, dispatched, out, copies)),
  );
  const fastest = async (work: Work) => {
    let ms = Infinity;
    for (let i = 0; i < REPEATS_OF_LITTLE; i++) ms = Math.min(ms, await wallTime(work, 1));
    work.session.destroy();
    return ms;
  };
  const readback = await fastest(one!);
  return { readback, dispatch: (1000 * Math.max(0, (await fastest(many!)) - readback)) / (DISPATCHES - 1) };
}

export function describeYardsticks({ copy, multiplyAdd }: Yardsticks): string {
  return `a plain copy: ${copy.toFixed(1)} GB/s; a plain multiply-add loop: ${multiplyAdd.toFixed(1)} GFLOP/s`;
}
