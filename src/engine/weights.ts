/** A plan's parameters on a device, to read and to write. */
import { type Backend, expectDtype, type Session } from "../backend/backend.ts";
import { type BlockDtype, isBlockDtype } from "../core/blocks.ts";
import { concat } from "../core/concat.ts";
import { ConfigError, ShapeError } from "../core/errors.ts";
import { floatToHalf } from "../core/half.ts";
import type * as Quantize from "../core/quantize.ts";
import { numel, type Tensor, type TensorPiece } from "../core/tensor.ts";
import type { Parameter, Parameters } from "../model/parameters.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import type { Program, SegmentName } from "../plan/plan.ts";

interface ParameterPlan extends Program {
  spec: ModelSpec;
  parameters: Parameters;
}

/** Rounds to f16. Throws ConfigError for a number beyond its range. */
function toHalves(name: string, values: Float32Array): Uint16Array {
  const halves = floatToHalf(values);
  for (let i = 0; i < halves.length; i++)
    if ((halves[i]! & 0x7c00) === 0x7c00)
      throw new ConfigError("weights-out-of-range", `${name} cannot be kept in f16`, {
        expected: "finite numbers of at most 65504",
        found: String(values[i]),
        hint: "keep the weights in f32",
      });
  return halves;
}

/**
 * The quantiser, loaded only if a plan has parameters in blocks: few plans do. Throws ConfigError if they are of a type
 * that the device does not multiply.
 */
export async function loadQuantizer(
  { parameters }: ParameterPlan,
  device: Pick<Backend, "info">,
): Promise<typeof Quantize | null> {
  const found = [...parameters.all.values()].find(({ pieces }) => pieces[0]!.tensor.isInBlocks);
  if (!found) return null;
  expectDtype(device, found.pieces[0]!.tensor.dtype);
  return import("../core/quantize.ts");
}

/** The longest time that an answer is believed to take: that of Firefox. */
const MOST_ANSWER_MS = 100;

export class Weights<P extends ParameterPlan = ParameterPlan> {
  /** Whether a parameter may have changed since the tensors derived of them were computed. */
  protected hasChanged = true;
  /** Called when it is destroyed. */
  onDestroy?: () => void;
  /** Partly written pieces in blocks. */
  private readonly begun = new Map<Tensor, Quantize.Quantizer>();

  /** `quantize` is what `loadQuantizer` gives for the plan. */
  constructor(
    readonly plan: P,
    readonly session: Session,
    private readonly quantize: typeof Quantize | null,
  ) {}

  /** Submits segments: before them what is derived of parameters, if a parameter has changed. */
  withDerived<T>(segments: readonly SegmentName[], submit: (segments: readonly SegmentName[]) => T): T {
    const isNeeded = this.hasChanged && this.plan.segments.some(({ name }) => name === "derived");
    const result = submit(isNeeded ? ["derived", ...segments] : segments);
    this.hasChanged = false;
    return result;
  }

  /** Milliseconds that an answer of the device takes, if it has nothing else to do now: those of a read of 4 bytes. */
  async answerTime(): Promise<number> {
    const begun = performance.now();
    const input = [...this.plan.memory.bufferIndex.keys()].find(({ role }) => role === "input")!;
    // A failure is reported where results are read.
    await this.session.read(input, 0, 1).catch(() => {});
    return Math.min(performance.now() - begun, MOST_ANSWER_MS);
  }

  parameter(name: string): Parameter {
    const parameter = this.plan.parameters.all.get(name);
    if (!parameter) throw new ShapeError("no-such-tensor", `the model has no tensor ${name}`);
    return parameter;
  }

  /** The frozen parameters, of a part of the model its own: another plan can share them. */
  get frozen(): Map<string, Parameter> {
    const { all } = this.plan.parameters;
    const names = parameterList(this.plan.spec).filter(({ name, isTrained }) => !isTrained && all.has(name));
    return new Map(names.map(({ name }) => [name, all.get(name)!]));
  }

  /**
   * Writes rows `firstRow` .. of a parameter. A parameter in blocks reaches the device when all its rows are written, a
   * matrix's in whole blocks. Throws ConfigError for a number that the parameter's type cannot hold.
   */
  writeParameter(name: string, data: Float32Array, firstRow = 0): void {
    this.hasChanged = true;
    const { pieces, shape } = this.parameter(name);
    const width = numel(shape) / shape[0]!;
    if (data.length % width !== 0 || firstRow * width + data.length > numel(shape))
      throw new ShapeError("wrong-shape", `${name}: contents of the wrong size`, {
        expected: `whole rows of ${width}, at most ${numel(shape) - firstRow * width} elements`,
        found: `${data.length} elements`,
      });
    const end = firstRow + data.length / width;
    for (const { tensor, first } of pieces) {
      const from = Math.max(first, firstRow);
      const to = Math.min(first + tensor.shape[0]!, end);
      if (from >= to) continue;
      const values = data.subarray((from - firstRow) * width, (to - firstRow) * width);
      if (isBlockDtype(tensor.dtype)) this.writeBlocks(name, tensor, tensor.dtype, values, from - first);
      else this.session.write(tensor, tensor.dtype === "f16" ? toHalves(name, values) : values, (from - first) * width);
    }
  }

  private writeBlocks(name: string, tensor: Tensor, dtype: BlockDtype, values: Float32Array, firstRow: number): void {
    const [rows, width] = tensor.shape as [number, number];
    const count = values.length / width;
    const { block } = this.parameter(name);
    // In a block the matrix of a linear layer, [in, out]; outside a table of rows.
    const isTurned = block !== null;
    let quantizer = this.begun.get(tensor);
    if (!quantizer) {
      const { Quantizer } = this.quantize!;
      quantizer = isTurned ? new Quantizer(name, dtype, width, rows) : new Quantizer(name, dtype, rows, width);
      this.begun.set(tensor, quantizer);
    }
    if (isTurned)
      quantizer.take(
        values,
        { output: 1, input: width },
        { output: 0, outputs: width, input: firstRow, inputs: count },
      );
    else
      quantizer.take(
        values,
        { output: width, input: 1 },
        { output: firstRow, outputs: count, input: 0, inputs: width },
      );
    if (quantizer.left > 0) return;
    this.begun.delete(tensor);
    this.session.write(tensor, new Uint32Array(quantizer.finish().buffer));
  }

  /** The values of a parameter; those of one in blocks as they are used. */
  async readParameter(name: string): Promise<Float32Array> {
    const { pieces, shape, block } = this.parameter(name);
    const { dtype } = pieces[0]!.tensor;
    if (!isBlockDtype(dtype)) return this.readPieces(pieces);
    const { dequantize } = await import("../core/dequantize.ts");
    const values = new Float32Array(numel(shape));
    const width = values.length / shape[0]!;
    for (const { tensor, first } of pieces) {
      const words = await this.session.read(tensor);
      const inputs = block === null ? width : shape[0]!;
      const bytes = new Uint8Array(words.buffer);
      values.set(dequantize(dtype, bytes, tensor.size, inputs), first * width);
    }
    if (block === null) return values;
    const [inputs, outputs] = shape as [number, number];
    return values.map((_, i) => values[(i % outputs) * inputs + Math.floor(i / outputs)]!);
  }

  destroy(): void {
    this.session.destroy();
    this.onDestroy?.();
  }

  protected async readPieces(pieces: TensorPiece[]): Promise<Float32Array> {
    const parts = await Promise.all(pieces.map(({ tensor }) => this.session.read(tensor)));
    return parts.length === 1 ? parts[0]! : concat(Float32Array, parts);
  }
}
