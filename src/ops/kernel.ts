/**
 * Kernel definitions, common to all backends: the name (also of the WGSL file, the pipeline and the timing label), the
 * tensors in binding order, the scalars in the order of the uniform struct, and the grid.
 */
import { ShapeError } from "../core/errors.ts";
import { expectShape, type Tensor, WEIGHT_DTYPES } from "../core/tensor.ts";

/** write: every element that is used later is written; update: earlier contents are used too. */
export type Access = "write" | "update" | "read";

/**
 * The type of a binding's elements in WGSL; two f16 are read as one u32. Job is the entry of a table in uniform memory:
 * see jobs.ts.
 */
export type Element = "f32" | "u32" | "i32" | "vec2f" | "vec2u" | "vec4f" | "Job";

/** Whether a binding is a table in uniform memory. */
export const isTable = (element: Element) => element === "Job";

/**
 * How a kernel uses a tensor, with a "?" if that may be absent, and the type of its elements: f32 by default. A shader
 * knows by `dims.has_<binding>` whether it is there, and the CPU by its address, which is else 0. Of those that a
 * kernel writes at most one may be absent.
 */
type Use = Access | `${Access}?`;
export type Binding = Use | `${Use} ${Element}`;

type Bindings = Readonly<Record<string, Binding>>;

/** The names of bindings that may be absent. */
type Optional<B extends Bindings> = { [N in keyof B]: B[N] extends `${Access}?${string}` ? N : never }[keyof B] &
  string;

/** The values that change from step to step; everything else is known when the plan is built. */
export interface StepValues {
  /** Tokens in the batch, N. */
  tokens: number;
  /** Sequences in the batch, B. */
  sequences: number;
  /** Sequences with one token each: the rows of a decoding step, which are few. */
  slots: number;
  /** Different ids in the batch. */
  unique: number;
  /** Tokens of the longest sequence, T. */
  longest: number;
  /** The row of results that this batch writes: of `metrics`, or of a decoder's `drawn`. */
  slot: number;
  /** 1 / sum of the weights of the rows that have a target, over all batches of a step. */
  loss_scale: number;
  /** AdamW: 1 - lr * weight_decay, lr * weight_decay, lr / (1 - beta1^t), sqrt(1 - beta2^t). */
  decay: number;
  lr_decay: number;
  step_size: number;
  correction2: number;
}

/** The default: an empty batch. */
export const NO_VALUES: StepValues = {
  tokens: 0,
  sequences: 0,
  slots: 0,
  unique: 0,
  longest: 0,
  slot: 0,
  loss_scale: 0,
  decay: 1,
  lr_decay: 0,
  step_size: 0,
  correction2: 1,
};

/**
 * How a kernel gets a scalar: from the uniform struct, or as a pipeline constant (an `override` of the same name),
 * which must be known when the plan is built, so that loops can be unrolled.
 */
type DimType = "u32" | "f32" | "override";

/** The fields of a table's entry, in their order. An entry is a multiple of 16 bytes, as uniform memory requires. */
export type Fields = Readonly<Record<string, "u32" | "f32">>;

/** A scalar of a dispatch: a number, or the name of a step value. */
export type Scalar = number | keyof StepValues;

/** Rows of a tensor: their number, or rows of the batch; slots are sequences with one token each. */
export type RowCount = number | "tokens" | "sequences" | "slots";

export type Grid = readonly [x: number, y: number, z: number];

/** The shaders of matrix products, by the shape of the result: see webgpu-shaders.ts. */
export type ProductVariant = "wide" | "middle" | "narrow" | "flat" | "gemv";

/** How a shader reads: four elements at once or, where these are not aligned, single ones; a matrix in blocks. */
export type Reading = "" | ".scalar" | ".quantized" | ".scalar.quantized";

/** The work of a dispatch: operations and bytes. */
export interface Work {
  /** Operations of matrix products: a multiply-add is two. Null where it depends on the data, as bytes. */
  flops: number | null;
  /** Bytes of the tensors, each once, updated ones twice: the least that has to be moved. */
  bytes: number | null;
}

/** A matrix product of a dispatch: its depth, where 0 stands for the rows of the batch, and how its operands lie. */
export interface Product {
  k: number;
  a_offset: number;
  a_row: number;
  a_col: number;
  b_offset: number;
  b_row: number;
  b_col: number;
  /** Of its adapters, if it has any: steps that they add to the depth, and their weights for these. */
  steps?: number;
  weights?: number;
}

/** Traits of some kernels. */
interface Traits<B extends string, D extends string> {
  /** The fields of a job, the entries of its table `jobs`. */
  readonly job?: Fields;
  /** Code that its shader shares with others: shaders/<name>.prelude.wgsl. */
  readonly preludes?: readonly string[];
  /** The binding of a matrix that may be in blocks. */
  readonly inBlocks?: B;
  /**
   * Whether a dispatch reads all of that matrix: on the CPU it may then be stored in panels (backend/panels.ts), for
   * which there is a function `<name>_panels`.
   */
  inPanels?(dispatch: Dispatch): boolean;
  /** The products of a dispatch, a job each; their operands are `a` and `b`. */
  products?(dispatch: Dispatch): readonly Product[];
  /** A matrix product: the shaders, shaders/matmul_<variant>.wgsl, and how plans let each read. */
  readonly variants?: Readonly<Partial<Record<ProductVariant, readonly Reading[]>>>;
  /** On the CPU a few rows have a function of their own, `<name>_gemv`: see `isGemv`. */
  readonly gemv?: boolean;
  /**
   * What a dispatch computes, if it multiplies and has no `products`; null if it reads or writes rows by index: how
   * many depends on the batch, or they are a small part of the tensors.
   */
  readonly work?: null | ((dims: Record<D, number>, dispatch: Dispatch, values: StepValues) => Work);
  /** The shader of a kernel of the benchmark's own, which is not in shaders/ and does not run on the CPU. */
  readonly wgsl?: string;
}

export interface Kernel<B extends string = string, D extends string = string, O extends string = string>
  extends Traits<B, D> {
  readonly name: string;
  readonly bindings: Readonly<Record<B, Access>>;
  /** The bindings that may be absent. */
  readonly optional: readonly O[];
  readonly elements: Readonly<Record<B, Element>>;
  readonly dims: Readonly<Record<D, DimType>>;
  /** Workgroups for resolved scalars; absent in a product, whose variants each have their own. */
  grid?(dims: Record<D, number>): Grid;
  /**
   * The tensors' shapes as in the shader's header: "rows 3C, unique+1". A letter is the same number everywhere; a
   * scalar is the size of its axis, or at most that for the first axis. Absent if strides determine what is read.
   */
  readonly shapes: string | undefined;
}

/**
 * One entry of the plan. `tensors`, null where absent, and how they are used, are in the order of the kernel's
 * bindings, `scalars` in that of its dims.
 */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly tensors: readonly (Tensor | null)[];
  readonly access: readonly Access[];
  readonly scalars: readonly Scalar[];
  /** The variant that computes a product, where it is not left to the backend: see check-work.ts. */
  readonly variant?: ProductVariant;
}

/* @__NO_SIDE_EFFECTS__ */
export function defineKernel<const B extends Bindings, D extends string>(
  name: string,
  bindings: B,
  dims: Record<D, DimType>,
  grid: ((dims: Record<D, number>) => Grid) | null,
  shapes?: string,
  traits: Traits<NoInfer<keyof B & string>, NoInfer<D>> = {},
): Kernel<keyof B & string, D, Optional<B>> {
  const uses = Object.entries(bindings).map(([key, how]) => [key, ...how.split(" ")] as [string, Use, Element?]);
  return {
    name,
    bindings: Object.fromEntries(uses.map(([key, use]) => [key, use.replace("?", "")])) as Record<keyof B, Access>,
    optional: uses.flatMap(([key, use]) => (use.endsWith("?") ? [key as Optional<B>] : [])),
    elements: Object.fromEntries(uses.map(([key, , element = "f32"]) => [key, element])) as Record<keyof B, Element>,
    dims,
    shapes,
    ...(grid && { grid }),
    ...traits,
  };
}

/** Throws ShapeError for the first tensor whose shape does not match the kernel's. */
function checkShapes({ kernel, tensors, scalars }: Dispatch): void {
  const { name, bindings, dims, shapes } = kernel;
  const given = new Map(Object.keys(dims).map((dim, i) => [dim, scalars[i]!]));
  const sizes = new Map<string, number>();
  shapes?.split(", ").forEach((shape, i) => {
    if (!tensors[i]) return;
    const { name: tensor, shape: found } = tensors[i];
    const expected = shape.split(" ").map((axis, at) => {
      const [, times, letter, more] = /^(\d*)(\w*)(\+1)?$/.exec(axis)!;
      const [factor, extra] = [Number(times || 1), more ? 1 : 0];
      if (!letter) return factor;
      const own = (found[at]! - extra) / factor;
      const scalar = given.get(letter);
      const isRoom = typeof scalar !== "number" || (at === 0 && own >= scalar);
      const size = sizes.get(letter) ?? (isRoom ? own : scalar);
      sizes.set(letter, size);
      return size * factor + extra;
    });
    expectShape(`${name}: ${Object.keys(bindings)[i]} (${tensor})`, found, expected);
  });
}

/**
 * A dispatch over tensors by the names of the kernel's bindings. A binding that may be of another type than f32 has a
 * scalar `<binding>_type`.
 * `access` overrides how this dispatch uses a tensor. Throws ShapeError if a kernel would read a tensor as another
 * type, or beyond it.
 */
export function dispatch<B extends string, D extends string, O extends string>(
  kernel: Kernel<B, D, O>,
  tensors: Record<Exclude<B, O>, Tensor> & Partial<Record<O, Tensor | null | undefined>>,
  dims: Record<D, Scalar>,
  access: Partial<Record<B, Access>> = {},
): Dispatch {
  const given: Partial<Record<string, Tensor | null>> = tensors;
  for (const name of Object.keys(kernel.bindings)) {
    const tensor = given[name];
    const type = (dims as Record<string, Scalar>)[`${name}_type`] ?? 0;
    if (tensor && typeCode(tensor) !== type)
      throw new ShapeError("wrong-dtype", `${kernel.name} reads ${tensor.name} in another type`, {
        expected: WEIGHT_DTYPES[type as number]!,
        found: tensor.dtype,
      });
  }
  const made: Dispatch = {
    kernel,
    tensors: Object.keys(kernel.bindings).map((name) => given[name] ?? null),
    access: Object.values<Access>({ ...kernel.bindings, ...access }),
    scalars: (Object.keys(kernel.dims) as D[]).map((name) => dims[name]),
  };
  checkShapes(made);
  return made;
}

/** A tensor of a dispatch, and how it uses that. */
export interface Bound {
  binding: string;
  tensor: Tensor;
  access: Access;
}

/** The tensors of a dispatch, without absent ones. */
export function boundTensors({ kernel, tensors, access }: Dispatch): Bound[] {
  return Object.keys(kernel.bindings).flatMap((binding, i) =>
    tensors[i] ? [{ binding, tensor: tensors[i], access: access[i]! }] : [],
  );
}

export function findTensor({ kernel, tensors }: Dispatch, binding: string): Tensor | null {
  return tensors[Object.keys(kernel.bindings).indexOf(binding)] ?? null;
}

/** The tensor of a dispatch at a binding of its kernel, where it must be. */
export function tensorAt(dispatch: Dispatch, binding: string): Tensor {
  return findTensor(dispatch, binding)!;
}

export function scalarAt({ kernel, scalars }: Dispatch, dim: string): Scalar {
  return scalars[Object.keys(kernel.dims).indexOf(dim)]!;
}

/**
 * Whether a product has one row per generated sequence, and never many rows: backends have variants of their own for
 * these. The choice does not depend on the actual number of rows, so that a row's bits do not either.
 */
export function isGemv(product: Dispatch): boolean {
  return scalarAt(product, "m") === "slots" && tensorAt(product, "out").shape[0]! <= 16;
}

export function resolveDims({ kernel, scalars }: Dispatch, values: StepValues): Record<string, number> {
  const numbers = scalars.map((scalar) => (typeof scalar === "number" ? scalar : values[scalar]));
  return Object.fromEntries(Object.keys(kernel.dims).map((name, i) => [name, numbers[i]!]));
}

export function totalWork(parts: readonly { flops: number; bytes: number }[]): Work {
  const sum = (of: "flops" | "bytes") => parts.reduce((all, part) => all + part[of], 0);
  return { flops: sum("flops"), bytes: sum("bytes") };
}

/**
 * The value of `<binding>_type` for a tensor, a pipeline constant: 0 f32 (or whole numbers), 1 f16, 2 q8, 3 q4, 4
 * int16.
 */
export const typeCode = ({ dtype }: Tensor) => Math.max(0, (WEIGHT_DTYPES as readonly string[]).indexOf(dtype));

export function ceilDiv(n: number, by: number): number {
  return Math.ceil(n / by);
}

/** WebGPU's default limit of workgroups in one dimension. */
export const MAX_GROUPS = 65535;

/** The grid over `count` elements, `size` per workgroup, with a second dimension where the first is full; z: `jobs`. */
export function flatGrid(count: number, size: number, jobs = 1): Grid {
  const groups = ceilDiv(count, size);
  return groups <= MAX_GROUPS ? [groups, 1, jobs] : [MAX_GROUPS, ceilDiv(groups, MAX_GROUPS), jobs];
}
