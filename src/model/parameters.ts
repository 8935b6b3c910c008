/**
 * The parameters of a model as tensors of a plan. A parameter is trained if it has a gradient. Trained parameters are
 * stored in pages, as are their gradients and moments, so that AdamW and the gradient norm take one dispatch a page.
 */
import { DeviceError } from "../core/errors.ts";
import type { ModelTensor, Place } from "../core/names.ts";
import { alignView, numel, type Role, type Shape, Tensor, type TensorPiece, VIEW_ALIGN } from "../core/tensor.ts";
import { formatBytes } from "../plan/memory.ts";
import { type ModelSpec, parameterList } from "./trainable.ts";

export interface Parameter extends ModelTensor {
  /** Only the token table and a language model's own head can have more than one piece. */
  pieces: TensorPiece[];
  /** The gradient in the same pieces; null if the parameter is frozen. */
  grad: TensorPiece[] | null;
  /** The factor of the parameter's learning rate. */
  rate: number;
}

/** Trained parameters, their gradients and AdamW's moments, at the same offsets of four buffers. */
interface Page {
  param: Tensor;
  grad: Tensor;
  m: Tensor;
  v: Tensor;
  /** The rate of every VIEW_ALIGN elements; null if all rates are 1. */
  rates: Tensor | null;
}

export interface Parameters {
  all: Map<string, Parameter>;
  pages: Page[];
}

/** How many rows of a [rows, ...] shape fit into one binding; a multiple of VIEW_ALIGN if the tensor is split. */
function rowsPerPiece({ layer, origin }: ModelTensor, whole: Tensor, maxBinding: number): number {
  const { name, bytes, shape, dtype } = whole;
  if (bytes <= maxBinding) return shape[0]!;
  let rows = Math.floor(maxBinding / (bytes / shape[0]!) / VIEW_ALIGN) * VIEW_ALIGN;
  // A piece in blocks has tables of its own.
  const piece = new Tensor(name, [rows, ...shape.slice(1)], "weight", dtype);
  if (piece.bytes > maxBinding) rows -= VIEW_ALIGN;
  if (origin === "base" && (layer === "wte" || layer === "lm_head") && rows > 0) return rows;
  throw new DeviceError("parameter-too-large", `${name} does not fit into one binding of the device`, {
    expected: `at most ${formatBytes(maxBinding)}`,
    found: formatBytes(bytes),
    hint: "choose a smaller model",
  });
}

/** A piece of a parameter, and its place in a page. */
interface Slot {
  parameter: Parameter;
  name: string;
  shape: Shape;
  first: number;
  page: number;
  offset: number;
}

interface Wanted {
  training: boolean;
  /** In bytes. */
  maxBinding: number;
  isWanted: (tensor: ModelTensor) => boolean;
  /** Frozen parameters that exist. */
  shared?: ReadonlyMap<string, Parameter> | undefined;
}

/**
 * Creates the tensors of every parameter for which `isWanted` is true. Without `training` no parameter has a gradient.
 * Frozen parameters that are also in `shared` are taken from there. Adapters are in pages without training, too: one
 * dispatch handles those of q, k and v, which must therefore be in one buffer.
 */
export function makeParameters(spec: ModelSpec, { training, maxBinding, isWanted, shared }: Wanted): Parameters {
  const all = new Map<string, Parameter>();
  const slots: Slot[] = [];
  const sizes: number[] = [];
  for (const { isTrained, dtype, ...tensor } of parameterList(spec).filter(isWanted)) {
    const { name, shape, partner, adapter } = tensor;
    const known = isTrained || adapter ? undefined : shared?.get(name);
    if (known) {
      all.set(name, known);
      continue;
    }
    const rows = rowsPerPiece(tensor, new Tensor(name, shape, "weight", dtype), maxBinding);
    const parameter: Parameter = { ...tensor, pieces: [], grad: isTrained && training ? [] : null };
    all.set(name, parameter);
    for (let first = 0; first < shape[0]!; first += rows) {
      const pieceShape = [Math.min(rows, shape[0]! - first), ...shape.slice(1)];
      const pieceName = rows === shape[0] ? name : `${name}[${first}:${first + pieceShape[0]!}]`;
      if (!(isTrained && training) && !adapter) {
        parameter.pieces.push({ tensor: new Tensor(pieceName, pieceShape, "weight", dtype), first });
        continue;
      }
      const size = alignView(tensor.room ?? numel(pieceShape));
      // A and B of an adapter are in the same page.
      const together = size + (partner ? alignView(partner.room ?? numel(partner.shape)) : 0);
      if (sizes.length === 0 || (sizes.at(-1)! + together) * 4 > maxBinding) sizes.push(0);
      const page = sizes.length - 1;
      slots.push({ parameter, name: pieceName, shape: pieceShape, first, page, offset: sizes[page]! });
      sizes[page]! += size;
    }
  }
  return { all, pages: makePages(slots, sizes, training) };
}

function makePages(slots: readonly Slot[], sizes: readonly number[], training: boolean): Page[] {
  const make = (name: string, role: Role) => sizes.map((size, i) => new Tensor(`${name} page ${i}`, [size], role));
  const params = make("trained", training ? "trained" : "weight");
  const grads = training ? make("gradient", "gradient") : [];
  for (const { parameter, name, shape, first, page, offset } of slots) {
    parameter.pieces.push({ tensor: params[page]!.view(name, shape, offset), first });
    parameter.grad?.push({ tensor: grads[page]!.view(`d${name}`, shape, offset), first });
  }
  const [m, v] = training ? [make("m", "moment"), make("v", "moment")] : [[], []];
  const hasRates = slots.some(({ parameter: { grad, rate } }) => grad && rate !== 1);
  return grads.map((grad, i) => {
    const rates = hasRates ? new Tensor(`rates page ${i}`, [grad.size / VIEW_ALIGN], "moment") : null;
    return { param: params[i]!, grad, m: m[i]!, v: v[i]!, rates };
  });
}

export function pageRates({ all }: Parameters, page: Page): Float32Array {
  const rates = new Float32Array(page.grad.size / VIEW_ALIGN).fill(1);
  for (const { grad, rate } of all.values())
    for (const { tensor } of grad ?? []) {
      const at = offsetIn(page, tensor);
      if (at !== null) rates.fill(rate, at / VIEW_ALIGN, (at + alignView(tensor.size)) / VIEW_ALIGN);
    }
  return rates;
}

/** Where a gradient begins in its page; null if it is in another one. */
export function offsetIn({ grad }: Page, { root, offset }: Tensor): number | null {
  const at = offset - grad.offset;
  return root === grad.root && at >= 0 && at < grad.size ? at : null;
}

export function findAdapters({ all }: Parameters, { block, layer }: Place): { A: Parameter; B: Parameter }[] {
  const As = [...all.values()].filter(
    (parameter) => parameter.partner && parameter.block === block && parameter.layer === layer,
  );
  return As.map((A) => ({ A, B: all.get(A.partner!.name)! }));
}

/** The tensor of a parameter that is in one piece. */
export function only(parameter: Parameter | TensorPiece[]): Tensor {
  return (Array.isArray(parameter) ? parameter : parameter.pieces)[0]!.tensor;
}
