/**
 * A test of an op: tensors with seeded contents, dispatches over them as one program, and what every element must hold
 * afterwards. Inputs that a kernel must not use are NaN, and so are outputs before the run: those that it must not
 * write keep their bits. What has rows of the batch has one more, which no kernel may read or write.
 *
 * `npm test` runs every case on the CPU, and on WebGPU those that compile a shader for the first time, or nothing: each
 * shader runs there with one set of constants, of the first case that has it. So a file begins with the case that asks
 * most of its shaders.
 */
import * as assert from "uvu/assert";
import type { TensorData } from "../../src/backend/backend.ts";
import { chooseShader, pipelineName } from "../../src/backend/webgpu-shaders.ts";
import type { BlockDtype } from "../../src/core/blocks.ts";
import { dequantize } from "../../src/core/dequantize.ts";
import { ShapeError } from "../../src/core/errors.ts";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { Quantizer } from "../../src/core/quantize.ts";
import { Rng } from "../../src/core/rng.ts";
import { type DType, numel, type Shape, Tensor } from "../../src/core/tensor.ts";
import { boundTensors, type Dispatch, type StepValues } from "../../src/ops/kernel.ts";
import { assertAllClose } from "./allclose.ts";
import { assertSameBits } from "./border.ts";
import { compiled, DEVICE_NAMES, runDispatches } from "./device.ts";
import { afterAll, TESTS, testAll, testInParts } from "./harness.ts";

/** A NaN that arithmetic does not make by itself, to tell what was never written from a NaN that was. */
const BLANK = 0x7fc0b1a4;

type Data = TensorData;
type Values = Partial<StepValues>;
/** A function is called where the results are compared. */
type Expected = ArrayLike<number> | (() => ArrayLike<number>);

export interface Tolerance {
  atol: number;
  rtol: number;
  /** What atol is relative to, for each element: 1 by default. */
  sizes?: Float64Array;
}

/** For what f32 can do without rounding, or rounds once as the reference does. */
export const EXACT: Tolerance = { atol: 0, rtol: 0 };

/** Where sequences of these lengths start in a packed batch, and its end. */
export function sequenceStarts(lengths: readonly number[]): number[] {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  return starts;
}

/** Numbers in pairs. */
export function pairs(...numbers: number[]): [number, number][] {
  return Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i]!, numbers[2 * i + 1]!]);
}

/** The bounds of each row's sequence: where it starts, and its end. */
export function rowBounds(lengths: readonly number[]): Uint32Array {
  const starts = sequenceStarts(lengths);
  return Uint32Array.from(lengths.flatMap((length, b) => new Array(length).fill([starts[b]!, starts[b + 1]!]).flat()));
}

export class OpCase {
  private readonly rng: Rng;
  private readonly contents = new Map<Tensor, Data>();
  /** The values of tensors in blocks. */
  private readonly values = new Map<Tensor, Float32Array>();
  private readonly dispatches: Dispatch[] = [];
  /** Only `npm run test:all` has it, on all devices. */
  isDear = false;
  /** What runs in the place of a dispatch. */
  replace = (dispatch: Dispatch): Dispatch => dispatch;
  private readonly expectations: { tensor: Tensor; expected: Expected; tolerance: Tolerance }[] = [];
  /** Elements in the rows of the batch. */
  private readonly used = new Map<Tensor, number>();

  /** `window`: the case has these rows of the batch of a larger case. */
  constructor(
    seed: number,
    private readonly window?: { first: number; of: number },
  ) {
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

  /** A tensor of normal numbers times `scale`. */
  random(name: string, shape: Shape, scale = 1): Tensor {
    return this.of(name, shape, this.normals(numel(shape), scale));
  }

  /** The same in f16; every seventh number is so small that it is subnormal there. */
  halves(name: string, shape: Shape): Tensor {
    const values = this.normals(numel(shape)).map((x, i) => (i % 7 === 3 ? x * 2e-5 : x));
    return this.of(name, shape, floatToHalf(values));
  }

  /** The same in q8, q4 or int16: a table as it is, a matrix [in, out] as [out, in]. */
  blocks(name: string, dtype: BlockDtype, shape: readonly [number, number], kind: "table" | "matrix"): Tensor {
    const [rows, columns] = kind === "table" ? shape : [shape[1], shape[0]];
    const tensor = new Tensor(name, shape, "weight", dtype);
    const quantizer = new Quantizer(name, dtype, rows, columns);
    const all = { output: 0, outputs: rows, input: 0, inputs: columns };
    quantizer.take(this.normals(tensor.size), { output: columns, input: 1 }, all);
    const bytes = quantizer.finish();
    const stored = dequantize(dtype, bytes, tensor.size, columns);
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

  /** These rows of the batch; behind them NaN, or 0 where numbers are whole. */
  rows(name: string, shape: Shape, data: Data, room = shape[0]! + 1): Tensor {
    const width = numel(shape.slice(1));
    const padded = new (data.constructor as new (length: number) => Data)(room * width);
    if (data instanceof Float32Array) padded.fill(Number.NaN);
    padded.set(data);
    const tensor = this.of(name, [room, ...shape.slice(1)], padded);
    this.used.set(tensor, data.length);
    return tensor;
  }

  /** Normal numbers times `scale` for the rows of the batch. */
  drawRows(shape: Shape, scale = 1): Float32Array {
    const [count, width] = [numel(shape), numel(shape.slice(1))];
    const { first, of } = this.window ?? { first: 0, of: shape[0]! };
    return this.normals(of * width, scale).subarray(first * width, first * width + count);
  }

  input(name: string, shape: Shape, scale = 1, room?: number): Tensor {
    return this.rows(name, shape, this.drawRows(shape, scale), room);
  }

  /** Blank rows of the batch. */
  output(name: string, shape: Shape, room = shape[0]! + 1): Tensor {
    const tensor = this.blank(name, [room, ...shape.slice(1)]);
    this.used.set(tensor, numel(shape));
    return tensor;
  }

  /** The contents before the run, in f64; of a tensor of rows, those of the batch. */
  data(tensor: Tensor): Float64Array {
    const whole = this.values.get(tensor.root) ?? this.contents.get(tensor.root)!;
    const values = whole.subarray(tensor.offset, tensor.offset + (this.used.get(tensor) ?? tensor.size));
    return new Float64Array(values instanceof Uint16Array ? halfToFloat(values) : values);
  }

  /** The stored words of a tensor in blocks. */
  words(tensor: Tensor): Uint32Array {
    return this.contents.get(tensor) as Uint32Array;
  }

  run(...dispatches: Dispatch[]): void {
    this.dispatches.push(...dispatches);
  }

  /** The first elements must be `expected` after the run, the others what they were, bit for bit. */
  after(tensor: Tensor, expected: Expected, tolerance: Tolerance): void {
    this.expectations.push({ tensor, expected, tolerance });
  }

  /** Runs the dispatches on a device and returns what is in `tensors` afterwards. */
  results(values: Values, tensors: Tensor[], device?: string): Promise<Float32Array[]> {
    const roots = new Set(this.dispatches.flatMap(boundTensors).map(({ tensor }) => tensor.root));
    const contents = new Map([...this.contents].filter(([tensor]) => roots.has(tensor)));
    return runDispatches(this.dispatches.map(this.replace), contents, tensors, values, device);
  }

  /** Those of some devices on which this case runs now. */
  devices(all: readonly string[] = DEVICE_NAMES): string[] {
    return all.filter((name) => {
      if (this.isDear) return true;
      if (name.startsWith("wasm")) return TESTS !== "rest";
      return TESTS !== "quick" || isNew(this.dispatches) || isCompiled(this.dispatches);
    });
  }

  /** Tensors of rows of which something is expected, with the elements of a row. */
  expectedRows(): { tensor: Tensor; row: number }[] {
    return this.expectations.flatMap(({ tensor }) =>
      this.used.has(tensor) ? { tensor, row: numel(tensor.shape.slice(1)) } : [],
    );
  }

  /** Runs the dispatches on the devices and compares; the number of threads must not change a bit. */
  async check(values: Values = {}, devices?: readonly string[]): Promise<void> {
    if (this.expectations.length === 0) return;
    const tensors = this.expectations.map(({ tensor }) => tensor);
    const families = new Map<string, Float32Array[]>();
    let expected: Float64Array[] | undefined;
    for (const device of this.devices(devices)) {
      const results = await this.results(values, tensors, device);
      expected ??= this.expectations.map(
        (one) => new Float64Array(typeof one.expected === "function" ? one.expected() : one.expected),
      );
      this.compare(device, results, expected);
      const family = device.replace(/ \d threads?$/, "");
      for (const [i, one] of families.get(family)?.entries() ?? [])
        assertSameBits(`${tensors[i]!.name} on ${device}`, results[i]!, one);
      families.set(family, results);
    }
  }

  private compare(device: string, results: Float32Array[], all: Float64Array[]): void {
    this.expectations.forEach(({ tensor, tolerance }, i) => {
      const [result, expected] = [results[i]!, all[i]!];
      const name = `${tensor.name} [${tensor.shape}] on ${device}`;
      const [found, wanted] = [result.slice(0, expected.length), expected.slice()];
      for (const [j, size] of tolerance.sizes?.entries() ?? []) {
        found[j]! /= size;
        wanted[j]! /= size;
      }
      // WGSL leaves open what max and exp make of a NaN, but no shader may make a number of it.
      const isLost = (x: number) => (device.startsWith("webgpu") ? !Number.isFinite(x) : Number.isNaN(x));
      for (let j = 0; j < wanted.length; j++)
        if (Number.isNaN(wanted[j]) && isLost(found[j]!)) found[j] = wanted[j] = 0;
      assertAllClose(name, found, wanted, tolerance);
      note(found, wanted, tolerance);
      // Nothing writes halves.
      const { buffer, byteOffset, length } = this.contents.get(tensor)!;
      const before = new Uint32Array(buffer, byteOffset, length);
      const after = new Uint32Array(result.buffer);
      for (let j = expected.length; j < before.length; j++)
        if (before[j] !== after[j]) throw new Error(`${name}: element ${j}, beyond the result, is now ${result[j]}`);
    });
  }
}

/** Declares a test of what `build` adds to a case, which gives its step values: see `OpCase.devices`, `isDear`. */
export function testOp(
  name: string,
  build: (c: OpCase) => Values | undefined | Promise<Values | undefined>,
  devices?: readonly string[],
  isDear = false,
): void {
  (isDear ? testAll : testInParts)(name, async () => {
    const c = new OpCase(2);
    c.isDear = isDear;
    await c.check((await build(c)) ?? {}, devices);
  });
}

/**
 * Declares a test: in a batch of these sequences, each has the same bits as in one of its own. `first`: which of them
 * `lengths` begins with.
 */
export function testAlone(
  name: string,
  lengths: readonly number[],
  build: (c: OpCase, lengths: readonly number[], first: number) => Values | undefined,
): void {
  testInParts(`${name}: the same bits alone as in a batch`, async () => {
    const starts = sequenceStarts(lengths);
    const open = (b: number, count: number) => {
      const c = new OpCase(1, { first: starts[b]!, of: starts.at(-1)! });
      const values = build(c, lengths.slice(b, b + count), b) ?? {};
      const rows = c.expectedRows();
      const tensors = rows.map(({ tensor }) => tensor);
      return { rows, devices: () => c.devices(), after: (device: string) => c.results(values, tensors, device) };
    };
    const whole = open(0, lengths.length);
    const alone = lengths.map((_, b) => open(b, 1));
    assert.ok(whole.rows.length > 0);
    for (const device of whole.devices()) {
      const together = await whole.after(device);
      for (const [b, one] of alone.entries())
        for (const [i, found] of (await one.after(device)).entries()) {
          const { tensor, row } = one.rows[i]!;
          const at = starts[b]! * row;
          const own = found.slice(0, lengths[b]! * row);
          assertSameBits(`${tensor.name} of ${b} on ${device}`, own, together[i]!.slice(at, at + own.length));
        }
    }
  });
}

/** Results of the same rows, for batches of different sizes, must have the same bits for any number of rows. */
export async function assertSameRows(
  c: OpCase,
  outs: readonly Tensor[],
  counts: readonly number[],
  devices?: readonly string[],
): Promise<void> {
  for (const device of c.devices(devices)) {
    let whole: Float32Array | undefined;
    for (const tokens of counts)
      for (const found of await c.results({ tokens }, [...outs], device)) {
        const used = tokens * outs[0]!.shape[1]!;
        whole ??= found;
        assertSameBits(`${tokens} rows on ${device}`, found.slice(0, used), whole.slice(0, used));
      }
  }
}

/** Rows and columns around a workgroup and its vectors, and GPT-2's width. */
const ROW_SHAPES = [
  [129, 68],
  [1, 4],
  [1, 132],
  [17, 20],
  [3, 64],
  [5, 768],
] as const;

/** Declares the tests of an op that computes each row by itself. */
export function testRows(
  name: string,
  build: (c: OpCase, rows: number, cols: number) => undefined,
  shapes: readonly (readonly [rows: number, cols: number])[] = ROW_SHAPES,
): void {
  for (const [rows, cols] of shapes) testOp(`${name}: ${rows} x ${cols}`, (c) => build(c, rows, cols));
  testAlone(`rows of ${name}`, new Array(7).fill(1), (c, { length }) => build(c, length, 68));
}

const isNew = (list: readonly Dispatch[]) => list.some((one) => !compiled.has(chooseShader(one).name));
const isCompiled = (list: readonly Dispatch[]) => list.every((one) => compiled.has(pipelineName(one)));

/** Throws unless `op` is refused for its shapes, in an error with these words. */
export function assertRefused(op: () => unknown, words = "", name = ""): void {
  assert.throws(op, (error: unknown) => error instanceof ShapeError && error.message.includes(words), name);
}

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
      else assertRefused(() => run(longer), "", `${name}, axis ${axis}`);
    }
}

function arrayDtype(data: Data): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Uint16Array) return "f16";
  return data instanceof Int32Array ? "i32" : "u32";
}

let worst = 0;

/** How near a file's results come to their tolerances, for whoever changes a kernel or a tolerance. */
function note(found: Float32Array, expected: Float64Array, { atol, rtol }: Tolerance): void {
  if (atol === 0 && rtol === 0) return;
  for (let i = 0; i < found.length; i++)
    worst = Math.max(worst, Math.abs(found[i]! - expected[i]!) / (atol + rtol * Math.abs(expected[i]!)));
}

afterAll(() => console.log(`largest error: ${(100 * worst).toFixed(1)} % of the tolerance`));
