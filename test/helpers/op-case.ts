/**
 * A test of an op: tensors with seeded contents, dispatches over them as one program, and what every element must hold
 * afterwards. Inputs that a kernel must not use are NaN, and so are outputs before the run: those that it must not
 * write keep their bits. `npm test` runs every case on the CPU, and on WebGPU those that compile a shader for the first
 * time, or nothing: each shader runs there with one set of constants, of the first case that has it. So a file begins
 * with the case that asks most of its shaders.
 */
import * as assert from "uvu/assert";
import type { TensorData } from "../../src/backend/backend.ts";
import { chooseShader, pipelineName } from "../../src/backend/webgpu-shaders.ts";
import type { BlockDtype } from "../../src/blocks.ts";
import { ShapeError } from "../../src/errors.ts";
import { floatToHalf, halfToFloat } from "../../src/half.ts";
import type { Dispatch, StepValues } from "../../src/ops/kernel.ts";
import { dequantize, Quantizer } from "../../src/quantize.ts";
import { Rng } from "../../src/rng.ts";
import { type DType, numel, type Shape, Tensor } from "../../src/tensor.ts";
import { assertAllClose } from "./allclose.ts";
import { compiled, DEVICE_NAMES, runDispatches } from "./device.ts";
import { afterAll, TESTS, testInParts } from "./harness.ts";

/** A NaN that arithmetic does not make by itself, to tell what was never written from a NaN that was. */
const BLANK = 0x7fc0b1a4;

type Data = TensorData;

export interface Tolerance {
  atol: number;
  rtol: number;
}

/** For what f32 can do without rounding, or rounds once as the reference does. */
export const EXACT: Tolerance = { atol: 0, rtol: 0 };

/** Where sequences of these lengths start in a packed batch, and its end. */
export function sequenceStarts(lengths: readonly number[]): number[] {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  return starts;
}

export class OpCase {
  private readonly rng: Rng;
  private readonly contents = new Map<Tensor, Data>();
  /** The values of tensors in blocks. */
  private readonly values = new Map<Tensor, Float32Array>();
  private readonly dispatches: Dispatch[] = [];
  private readonly expectations: { name: string; tensor: Tensor; expected: Float64Array; tolerance: Tolerance }[] = [];

  constructor(seed: number) {
    this.rng = new Rng(seed);
  }

  /** A tensor with these contents: a buffer of its own for each, as results share none, unlike activations. */
  of(name: string, shape: Shape, data: Data, role: "output" | "weight" = "output"): Tensor {
    const tensor = new Tensor(name, shape, role, arrayDtype(data));
    if (data.length !== tensor.size) throw new Error(`${name}: ${data.length} values for ${tensor.size} elements`);
    this.contents.set(tensor, data);
    return tensor;
  }

  /** Normal numbers times `scale`. */
  normals(count: number, scale = 1): Float32Array {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = this.rng.normal() * scale;
    return values;
  }

  /** A tensor of normal numbers times `scale`; those from `used` on are NaN. */
  random(name: string, shape: Shape, scale = 1, used = numel(shape)): Tensor {
    return this.of(name, shape, this.normals(numel(shape), scale).fill(Number.NaN, used));
  }

  /** The same in f16; every seventh number is so small that it is subnormal there. */
  halves(name: string, shape: Shape, used = numel(shape)): Tensor {
    const values = this.normals(numel(shape)).map((x, i) => (i % 7 === 3 ? x * 2e-5 : x));
    return this.of(name, shape, floatToHalf(values.fill(Number.NaN, used)));
  }

  /** The same in q8 or q4: a table as it is, a matrix [in, out] as [out, in]. */
  blocks(name: string, dtype: BlockDtype, shape: readonly [number, number], kind: "table" | "matrix"): Tensor {
    const [rows, columns] = kind === "table" ? shape : [shape[1], shape[0]];
    const tensor = new Tensor(name, shape, "weight", dtype);
    const quantizer = new Quantizer(name, dtype, rows, columns);
    const all = { output: 0, outputs: rows, input: 0, inputs: columns };
    quantizer.take(this.normals(tensor.size), { output: columns, input: 1 }, all);
    const bytes = quantizer.finish();
    const stored = dequantize(dtype, bytes, tensor.size);
    const values = stored.map((_, i) =>
      kind === "table" ? stored[i]! : stored[(i % rows) * columns + Math.floor(i / rows)]!,
    );
    this.values.set(tensor, values);
    this.contents.set(tensor, new Uint32Array(bytes.buffer));
    return tensor;
  }

  /** NaN everywhere: what a kernel must write without reading it. */
  blank(name: string, shape: Shape): Tensor {
    return this.of(name, shape, new Float32Array(new Uint32Array(numel(shape)).fill(BLANK).buffer));
  }

  /** The contents before the run, in f64. */
  data(tensor: Tensor): Float64Array {
    const whole = this.values.get(tensor.root) ?? this.contents.get(tensor.root)!;
    const values = whole.subarray(tensor.offset, tensor.offset + tensor.size);
    return new Float64Array(values instanceof Uint16Array ? halfToFloat(values) : values);
  }

  run(...dispatches: Dispatch[]): void {
    this.dispatches.push(...dispatches);
  }

  /** The first elements must be `expected` afterwards, the others what they were, bit for bit. */
  expect(name: string, tensor: Tensor, expected: ArrayLike<number>, tolerance: Tolerance): void {
    this.expectations.push({
      name: `${name}: ${tensor.name}`,
      tensor,
      expected: new Float64Array(expected),
      tolerance,
    });
  }

  /** Runs the dispatches on a device and returns what is in `tensors` afterwards. */
  results(values: Partial<StepValues>, tensors: Tensor[], device?: string): Promise<Float32Array[]> {
    return runDispatches(this.dispatches, this.contents, tensors, values, device);
  }

  /** Those of some devices on which this case runs now. */
  devices(all: readonly string[] = DEVICE_NAMES): string[] {
    return all.filter((name) => {
      if (name.startsWith("wasm")) return TESTS !== "rest";
      return TESTS !== "quick" || isNew(this.dispatches) || isCompiled(this.dispatches);
    });
  }

  /** Runs the dispatches on the devices and compares; the number of threads must not change a bit. */
  async check(values: Partial<StepValues> = {}, devices?: readonly string[]): Promise<void> {
    const tensors = this.expectations.map(({ tensor }) => tensor);
    const families = new Map<string, Float32Array[]>();
    for (const device of this.devices(devices)) {
      const results = await this.results(values, tensors, device);
      this.compare(device, results);
      const family = device.replace(/ \d threads?$/, "");
      for (const [i, one] of families.get(family)?.entries() ?? [])
        assertSameBits(`${device}: ${tensors[i]!.name}`, results[i]!, one);
      families.set(family, results);
    }
  }

  private compare(device: string, results: Float32Array[]): void {
    this.expectations.forEach(({ name, tensor, expected, tolerance }, i) => {
      const result = results[i]!;
      const [found, wanted] = [result.slice(0, expected.length), expected.slice()];
      // WGSL leaves open what max and exp make of a NaN, but no shader may make a number of it.
      const isLost = (x: number) => (device.startsWith("webgpu") ? !Number.isFinite(x) : Number.isNaN(x));
      for (let j = 0; j < wanted.length; j++)
        if (Number.isNaN(wanted[j]) && isLost(found[j]!)) found[j] = wanted[j] = 0;
      assertAllClose(`${name} on ${device}`, found, wanted, tolerance);
      note(found, wanted, tolerance);
      // Nothing writes halves.
      const { buffer, byteOffset, length } = this.contents.get(tensor)!;
      const before = new Uint32Array(buffer, byteOffset, length);
      const after = new Uint32Array(result.buffer);
      for (let j = expected.length; j < before.length; j++)
        if (before[j] !== after[j])
          throw new Error(`${name} on ${device}: element ${j}, beyond the result, is now ${result[j]}`);
    });
  }
}

/** Declares a test of cases: see `OpCase.devices`. */
export const testOp = testInParts;

const isNew = (list: readonly Dispatch[]) => list.some((one) => !compiled.has(chooseShader(one).name));
const isCompiled = (list: readonly Dispatch[]) => list.every((one) => compiled.has(pipelineName(one)));

/**
 * Tensors of these shapes must be accepted, and those of which any one axis is one longer refused: all axes but those
 * in `free` ("name.axis"), which must be accepted too.
 */
export function assertShapes<N extends string>(
  shapes: Record<N, Shape>,
  op: (tensors: Record<N, Tensor>) => unknown,
  free: readonly string[] = [],
): void {
  const run = (all: Record<N, Shape>) => {
    const tensors = Object.entries<Shape>(all).map(([name, shape]) => [name, new Tensor(name, shape, "output")]);
    op(Object.fromEntries(tensors) as Record<N, Tensor>);
  };
  run(shapes);
  for (const [name, shape] of Object.entries<Shape>(shapes))
    for (const axis of shape.keys()) {
      const longer = { ...shapes, [name]: shape.map((n, i) => (i === axis ? n + 1 : n)) };
      if (free.includes(`${name}.${axis}`)) run(longer);
      else
        assert.throws(
          () => run(longer),
          (error: unknown) => error instanceof ShapeError,
          `${name}, axis ${axis}`,
        );
    }
}

function arrayDtype(data: Data): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Uint16Array) return "f16";
  return data instanceof Int32Array ? "i32" : "u32";
}

function assertSameBits(name: string, found: Float32Array, expected: Float32Array): void {
  if (!Buffer.from(found.buffer).equals(Buffer.from(expected.buffer)))
    throw new Error(`${name}: other bits than on another number of threads`);
}

let worst = 0;

/** How near a file's results come to their tolerances, for whoever changes a kernel or a tolerance. */
function note(found: Float32Array, expected: Float64Array, { atol, rtol }: Tolerance): void {
  if (atol === 0 && rtol === 0) return;
  for (let i = 0; i < found.length; i++)
    worst = Math.max(worst, Math.abs(found[i]! - expected[i]!) / (atol + rtol * Math.abs(expected[i]!)));
}

afterAll(() => console.log(`largest error: ${(100 * worst).toFixed(1)} % of the tolerance`));
