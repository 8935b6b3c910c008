/** The scalars of a program's dispatches in one uniform buffer; a step changes a few of them. */
import { type Dispatch, findTensor, type Grid, NO_VALUES, resolveDims, type StepValues } from "../ops/kernel.ts";
import type { Shader } from "./webgpu-shaders.ts";

/** Bytes per dispatch: WebGPU's largest alignment of a uniform binding. */
const STRIDE = 256;

interface ScalarPlace {
  byte: number;
  isFloat: boolean;
}

/** A scalar that changes from step to step. */
interface Change extends ScalarPlace {
  name: string;
  value: keyof StepValues;
}

/** The current scalars of one dispatch, and the grid that follows from them. */
export interface Scalars {
  shader: Shader;
  /** Their range in the buffer, in bytes. */
  offset: number;
  size: number;
  dims: Record<string, number>;
  grid: Grid;
  changes: Change[];
}

export class ScalarList {
  /** The buffer's contents. */
  readonly bytes: DataView<ArrayBuffer>;
  private length = 0;

  /** Allocates the scalars of `count` dispatches. */
  constructor(count: number) {
    this.bytes = new DataView(new ArrayBuffer(Math.max(1, count) * STRIDE));
  }

  add(dispatch: Dispatch, shader: Shader): Scalars {
    const { kernel, scalars } = dispatch;
    const offset = this.length++ * STRIDE;
    const dims = resolveDims(dispatch, NO_VALUES);
    const changes: Change[] = [];
    let byte = offset;
    for (const [i, [name, type]] of Object.entries(kernel.dims).entries()) {
      if (type === "override") continue;
      const place = { byte, isFloat: type === "f32" };
      const scalar = scalars[i]!;
      this.set(place, dims[name]!);
      if (typeof scalar === "string") changes.push({ ...place, name, value: scalar });
      byte += 4;
    }
    for (const binding of kernel.optional) {
      this.set({ byte, isFloat: false }, findTensor(dispatch, binding) ? 1 : 0);
      byte += 4;
    }
    return { shader, offset, size: Math.ceil((byte - offset) / 16) * 16, dims, grid: shader.grid(dims), changes };
  }

  /** Writes a step's values; returns the range of bytes that changed, empty if none did. */
  update(list: readonly Scalars[], values: StepValues): { first: number; end: number } {
    let [first, end] = [this.bytes.byteLength, 0];
    for (const entry of list) {
      for (const change of entry.changes) {
        entry.dims[change.name] = values[change.value];
        this.set(change, values[change.value]);
        first = Math.min(first, change.byte);
        end = Math.max(end, change.byte + 4);
      }
      entry.grid = entry.shader.grid(entry.dims);
    }
    return { first, end };
  }

  private set({ byte, isFloat }: ScalarPlace, value: number): void {
    if (isFloat) this.bytes.setFloat32(byte, value, true);
    else this.bytes.setUint32(byte, value, true);
  }
}
