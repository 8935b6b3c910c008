import { ShapeError } from "./errors.ts";

export type Shape = readonly number[];
/** f16 is for frozen weights alone. */
export type DType = "f32" | "f16" | "u32" | "i32";

/**
 * What a tensor is for, which decides where it lives and what it costs:
 * weight (frozen), trained (a parameter that learns), gradient, moment (AdamW's m and v), input (written by the host
 * before a step), activation (lives between its first and last use), output (an activation that the host may read), cache
 * (keys and values that stay from step to step).
 */
export type Role = "weight" | "trained" | "gradient" | "moment" | "input" | "activation" | "output" | "cache";

/** Views begin at multiples of so many elements: a binding starts at a multiple of 256 bytes. */
export const VIEW_ALIGN = 64;

/** The least multiple of VIEW_ALIGN that is not below `elements`. */
export function alignView(elements: number): number {
  return Math.ceil(elements / VIEW_ALIGN) * VIEW_ALIGN;
}

/** Rows `first` .. `first + tensor.shape[0]` of a larger whole. */
export interface TensorPiece {
  tensor: Tensor;
  first: number;
}

/**
 * A tensor of the plan: a name, a shape and a place, no data. A view is a contiguous part of another tensor, from
 * `offset` elements on; `root` is the tensor that owns the memory (itself where it is not a view).
 */
export class Tensor {
  readonly root: Tensor;
  readonly size: number;

  constructor(
    readonly name: string,
    readonly shape: Shape,
    readonly role: Role,
    readonly dtype: DType = "f32",
    root?: Tensor,
    readonly offset = 0,
  ) {
    this.root = root ?? this;
    this.size = sizeOf(shape);
    if (root && offset + this.size > root.size)
      throw new ShapeError(`${name} reaches beyond ${root.name}`, {
        expected: `at most ${root.size} elements`,
        found: `${offset} + ${this.size}`,
      });
  }

  get elementBytes(): number {
    return this.dtype === "f16" ? 2 : 4;
  }

  /** Bytes, in whole words. */
  get bytes(): number {
    return Math.ceil((this.size * this.elementBytes) / 4) * 4;
  }

  /** Where the tensor begins in its root, in bytes. */
  get byteOffset(): number {
    return this.offset * this.elementBytes;
  }

  /** The part of this tensor from `offset` elements on, with a shape of its own. */
  view(name: string, shape: Shape, offset: number): Tensor {
    return new Tensor(name, shape, this.role, this.dtype, this.root, this.offset + offset);
  }
}

/** Number of elements of a shape; 1 for the empty shape. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Throws ShapeError, naming the tensor, unless `found` is `expected`. */
export function expectShape(name: string, found: Shape, expected: Shape): void {
  if (!sameShape(found, expected))
    throw new ShapeError(`${name} has the wrong shape`, { expected: showShape(expected), found: showShape(found) });
}
