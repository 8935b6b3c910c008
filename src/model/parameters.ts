/**
 * The parameters of a model as tensors of a plan. A parameter is trained if it has a gradient. Trained parameters are stored in
 * pages, as are their gradients and moments, so that AdamW and the gradient norm take one dispatch a page.
 */
import { DeviceError } from "../errors.ts";
import { showBytes } from "../plan/memory.ts";
import { alignView, type Role, type Shape, sizeOf, Tensor, type TensorPiece, VIEW_ALIGN } from "../tensor.ts";
import { type ModelSpec, parameterList } from "./trainable.ts";

export interface Parameter {
  name: string;
  shape: Shape;
  /** Only the token table and a language model's own head can have more than one piece. */
  pieces: TensorPiece[];
  /** The gradient in the same pieces; null if the parameter is frozen. */
  grad: TensorPiece[] | null;
  /** The parameter's learning rate, divided by the run's. */
  rate: number;
}

/** Trained parameters, their gradients and AdamW's moments, at the same offsets of four buffers. */
export interface Page {
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

/** How many rows of a [rows, ...] shape fit into one binding; a multiple of VIEW_ALIGN if the tensor has to be split. */
function rowsPerPiece({ name, bytes, shape, dtype }: Tensor, maxBinding: number): number {
  if (bytes <= maxBinding) return shape[0]!;
  let rows = Math.floor(maxBinding / (bytes / shape[0]!) / VIEW_ALIGN) * VIEW_ALIGN;
  // A piece in blocks has tables of its own.
  const piece = new Tensor(name, [rows, ...shape.slice(1)], "weight", dtype);
  if (piece.bytes > maxBinding) rows -= VIEW_ALIGN;
  if (/^(wte|lm_head)\./.test(name) && rows > 0) return rows;
  throw new DeviceError(`${name} does not fit into one binding of the device`, {
    expected: `at most ${showBytes(maxBinding)}`,
    found: showBytes(bytes),
    hint: "choose a smaller model",
  });
}

interface Slot {
  name: string;
  shape: Shape;
  first: number;
  page: number;
  offset: number;
}

const isAdapter = (name: string) => name.startsWith("lora.");

/**
 * Creates the tensors of every parameter for which `isWanted` is true. Without `training` no parameter has a gradient. Frozen
 * parameters that are also in `shared` are taken from there. `maxBinding` is in bytes. Adapters are in pages without training, too:
 * one dispatch handles those of q, k and v, which must therefore be in one buffer. `rateOf` gives a parameter's learning rate,
 * divided by the run's.
 */
export function makeParameters(
  spec: ModelSpec,
  training: boolean,
  maxBinding: number,
  isWanted: (name: string) => boolean,
  shared: ReadonlyMap<string, Parameter> = new Map(),
  rateOf: (name: string) => number = () => 1,
): Parameters {
  const all = new Map<string, Parameter>();
  const slots: Slot[] = [];
  const pageSizes: number[] = [];
  const list = parameterList(spec).filter(({ name }) => isWanted(name));
  for (const [i, { name, shape, isTrained, dtype }] of list.entries()) {
    const known = isTrained ? undefined : shared.get(name);
    if (known) {
      all.set(name, known);
      continue;
    }
    const rows = rowsPerPiece(new Tensor(name, shape, "weight", dtype), maxBinding);
    const parameter: Parameter = {
      name,
      shape,
      pieces: [],
      grad: isTrained && training ? [] : null,
      rate: rateOf(name),
    };
    all.set(name, parameter);
    for (let first = 0; first < shape[0]!; first += rows) {
      const pieceShape = [Math.min(rows, shape[0]! - first), ...shape.slice(1)];
      const pieceName = rows === shape[0] ? name : `${name}[${first}:${first + pieceShape[0]!}]`;
      if (!isTrained || !(training || isAdapter(name))) {
        parameter.pieces.push({ tensor: new Tensor(pieceName, pieceShape, "weight", dtype), first });
        continue;
      }
      const size = alignView(sizeOf(pieceShape));
      // A and B of an adapter are in the same page.
      const together = isAdapter(name) && name.endsWith(".A") ? size + alignView(sizeOf(list[i + 1]!.shape)) : size;
      const open = pageSizes.length - 1;
      if (open < 0 || (pageSizes[open]! + together) * 4 > maxBinding) pageSizes.push(0);
      const page = pageSizes.length - 1;
      slots.push({ name: pieceName, shape: pieceShape, first, page, offset: pageSizes[page]! });
      pageSizes[page]! += size;
    }
  }
  const make = (name: string, role: Role) => pageSizes.map((size, i) => new Tensor(`${name} page ${i}`, [size], role));
  const params = make("trained", training ? "trained" : "weight");
  const grads = training ? make("gradient", "gradient") : [];
  const [m, v] = [make("m", "moment"), make("v", "moment")];
  for (const { name, shape, first, page, offset } of slots) {
    const parameter = all.get(name.replace(/\[.*/, ""))!;
    parameter.pieces.push({ tensor: params[page]!.view(name, shape, offset), first });
    parameter.grad?.push({ tensor: grads[page]!.view(`d${name}`, shape, offset), first });
  }
  const rates = [...all.values()].some(({ grad, rate }) => grad && rate !== 1)
    ? pageSizes.map((size, i) => new Tensor(`rates page ${i}`, [size / VIEW_ALIGN], "moment"))
    : [];
  return {
    all,
    pages: grads.map((grad, i) => ({ param: params[i]!, grad, m: m[i]!, v: v[i]!, rates: rates[i] ?? null })),
  };
}

/** The contents of a page's table of rates. */
export function ratesOf({ all }: Parameters, { grad: page }: Page): Float32Array {
  const rates = new Float32Array(page.size / VIEW_ALIGN).fill(1);
  for (const { grad, rate } of all.values())
    for (const { tensor } of grad ?? [])
      if (tensor.root === page)
        rates.fill(rate, tensor.offset / VIEW_ALIGN, (tensor.offset + alignView(tensor.size)) / VIEW_ALIGN);
  return rates;
}

/** The tensor of a parameter that is in one piece. */
export function only(parameter: Parameter | TensorPiece[]): Tensor {
  return (Array.isArray(parameter) ? parameter : parameter.pieces)[0]!.tensor;
}
