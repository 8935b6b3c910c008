/** A plan's parameters on a device, to read and to write. */
import type { Session } from "../backend/backend.ts";
import { ConfigError, ShapeError } from "../errors.ts";
import { floatToHalf } from "../half.ts";
import type { Parameter, Parameters } from "../model/parameters.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import type { Program } from "../plan/plan.ts";
import { sizeOf, type TensorPiece } from "../tensor.ts";

/** A program over a model's parameters. */
export interface ParameterPlan extends Program {
  spec: ModelSpec;
  parameters: Parameters;
}

/** Rounds to f16. Throws ConfigError for a number beyond its range. */
function toHalves(name: string, values: Float32Array): Uint16Array {
  const halves = floatToHalf(values);
  for (let i = 0; i < halves.length; i++)
    if ((halves[i]! & 0x7c00) === 0x7c00)
      throw new ConfigError(`${name} cannot be kept in f16`, {
        expected: "finite numbers of at most 65504",
        found: String(values[i]),
        hint: "keep the weights in f32",
      });
  return halves;
}

export class Weights<P extends ParameterPlan = ParameterPlan> {
  constructor(
    readonly plan: P,
    readonly session: Session,
  ) {}

  parameter(name: string): Parameter {
    const parameter = this.plan.parameters.all.get(name);
    if (!parameter) throw new ShapeError(`the model has no tensor ${name}`);
    return parameter;
  }

  /** The frozen parameters: another plan can share them. */
  get frozen(): Map<string, Parameter> {
    const names = parameterList(this.plan.spec).filter(({ isTrained }) => !isTrained);
    return new Map(names.map(({ name }) => [name, this.parameter(name)]));
  }

  /** Writes rows `firstRow` .. of a parameter. Throws ConfigError for a number that a parameter in f16 cannot hold. */
  writeParameter(name: string, data: Float32Array, firstRow = 0): void {
    const { pieces, shape } = this.parameter(name);
    const width = sizeOf(shape) / shape[0]!;
    if (data.length % width !== 0 || firstRow * width + data.length > sizeOf(shape))
      throw new ShapeError(`${name}: contents of the wrong size`, {
        expected: `whole rows of ${width}, at most ${sizeOf(shape) - firstRow * width} elements`,
        found: `${data.length} elements`,
      });
    const end = firstRow + data.length / width;
    for (const { tensor, first } of pieces) {
      const from = Math.max(first, firstRow);
      const to = Math.min(first + tensor.shape[0]!, end);
      if (from >= to) continue;
      const values = data.subarray((from - firstRow) * width, (to - firstRow) * width);
      this.session.write(tensor, tensor.dtype === "f16" ? toHalves(name, values) : values, (from - first) * width);
    }
  }

  readParameter(name: string): Promise<Float32Array> {
    return this.readPieces(this.parameter(name).pieces);
  }

  destroy(): void {
    this.session.destroy();
  }

  protected async readPieces(pieces: TensorPiece[]): Promise<Float32Array> {
    const parts = await Promise.all(pieces.map(({ tensor }) => this.session.read(tensor)));
    if (parts.length === 1) return parts[0]!;
    const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
