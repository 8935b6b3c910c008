import { blockBytes, isBlockDtype } from "./blocks.ts";
import { ShapeError } from "./errors.ts";

export type Shape = readonly number[];

/** Data type of the frozen matrices. Trainable parameters and all arithmetic are in f32. */
export const WEIGHT_DTYPES = ["f32", "f16", "q8", "q4", "int16"] as const;
/** Those that every device and files have; the widest first. */
export const COMMON_DTYPES = ["f32", "f16", "q8", "q4"] as const;
export type CommonDtype = (typeof COMMON_DTYPES)[number];
/**
 * The type of the frozen matrices: `f32`, `f16`, `q8` (8 bits in blocks of 32), `q4` (4-bit NF4 in blocks of 64) or, on
 * the CPU, `int16` (whole numbers, multiplied in integers).
 */
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

/** Whether a kind of device multiplies with frozen weights of a type. */
export const hasDtype = (kind: "webgpu" | "wasm", dtype: DType): boolean => dtype !== "int16" || kind === "wasm";

/** The type of a tensor's elements. */
export type DType = WeightDtype | "u32" | "i32";

/**
 * The role of a tensor, which determines its memory and lifetime: weight (frozen), trained (a trainable parameter),
 * gradient, moment (AdamW's m and v, and its rates), input (written by the host before a step), activation (live
 * between its first and last use), output (an activation that the host may read), cache (keys and values, which persist
 * across steps), table (numbers of the plan, which never change).
 */
export type Role = "weight" | "trained" | "gradient" | "moment" | "input" | "activation" | "output" | "cache" | "table";

/** Alignment of views in elements: a binding starts at a multiple of 256 bytes. */
export const VIEW_ALIGN = 64;

/** Rounds `elements` up to a multiple of VIEW_ALIGN. */
export function alignView(elements: number): number {
  return Math.ceil(elements / VIEW_ALIGN) * VIEW_ALIGN;
}

/** Rows `first` .. `first + tensor.shape[0]` of a larger whole. */
export interface TensorPiece {
  tensor: Tensor;
  first: number;
}

/**
 * A tensor of the plan: name, shape and location, without data. A view is a contiguous part of another tensor, starting
 * at `offset` elements. `root` is the tensor that owns the memory, which is the tensor itself if it is not a view.
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
    /** The contents of a table. */
    readonly contents?: Uint32Array,
  ) {
    this.root = root ?? this;
    this.size = numel(shape);
    if (root && offset + this.size > root.size)
      throw new ShapeError("wrong-shape", `${name} exceeds ${root.name}`, {
        expected: `at most ${root.size} elements`,
        found: `${offset} + ${this.size}`,
      });
  }

  /** Whether it is stored in blocks: a part of it is not contiguous, so a view has the bytes of the whole. */
  get isInBlocks(): boolean {
    return isBlockDtype(this.dtype);
  }

  /** Bytes of an element; in blocks, the mean. */
  get elementBytes(): number {
    if (this.isInBlocks) return this.bytes / this.root.size;
    return this.dtype === "f16" ? 2 : 4;
  }

  /** Size in bytes, rounded up to a multiple of 4. */
  get bytes(): number {
    if (isBlockDtype(this.dtype)) return blockBytes(this.dtype, this.root.size, Math.max(...this.root.shape));
    return Math.ceil((this.size * this.elementBytes) / 4) * 4;
  }

  /** Offset in the root tensor, in bytes. */
  get byteOffset(): number {
    return this.isInBlocks ? 0 : this.offset * this.elementBytes;
  }

  /** A view of this tensor with another shape, starting at `offset` elements. */
  view(name: string, shape: Shape, offset: number): Tensor {
    return new Tensor(name, shape, this.role, this.dtype, this.root, this.offset + offset);
  }
}

/** Number of elements of a shape; 1 for the empty shape. */
export function numel(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * Throws ShapeError unless `count` elements can be written from `offset` on; of a tensor in blocks, all its stored
 * words.
 */
export function expectWrite(tensor: Tensor, offset: number, count: number): void {
  const { name, isInBlocks, size, bytes } = tensor;
  if (isInBlocks ? offset === 0 && count === bytes / 4 : offset + count <= size) return;
  throw new ShapeError("wrong-shape", `a write beyond ${name}`, {
    expected: isInBlocks ? `${bytes / 4} words` : `at most ${size} elements`,
    found: `${offset} + ${count}`,
  });
}

/** Throws ShapeError, with the tensor's name, if the shapes differ. */
export function expectShape(name: string, found: Shape, expected: Shape): void {
  if (!sameShape(found, expected))
    throw new ShapeError("wrong-shape", `${name} has the wrong shape`, {
      expected: formatShape(expected),
      found: formatShape(found),
    });
}
