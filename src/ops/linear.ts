/**
 * A linear layer with its adapters, and what follows it, as one product: out = x W + bias + down B^T, then a residual
 * or the activation. The gradient of x has the same form: dx = dy W^T + ddown A, then the activation's derivative.
 */
import { expectShape, type Shape, type Tensor } from "../core/tensor.ts";
import { ACTIVATION, type ActivationName } from "./activation.ts";
import type { AdapterGroup } from "./adapters.ts";
import { type Dispatch, defineKernel, dispatch, type Product, type RowCount, scalarAt, typeCode } from "./kernel.ts";

/**
 * The epilogue. add: out += inp. activate: out = activation(out). activate_saved: act = activation(out).
 * activate_backward: act = activation(inp), out *= activation'(inp). add_saved: act = out + inp.
 */
export const EPILOGUES = {
  none: 0,
  add: 1,
  activate: 2,
  activate_saved: 3,
  activate_backward: 4,
  add_saved: 5,
} as const;

export const linearKernel = defineKernel(
  "linear",
  {
    out: "write",
    act: "write?",
    a: "read",
    b: "read u32",
    bias: "read?",
    down: "read?",
    up: "read?",
    inp: "read?",
  },
  {
    m: "u32",
    n: "u32",
    k: "u32",
    b_row: "u32",
    b_col: "u32",
    epilogue: "u32",
    // The adapters' part of the depth is adapters * r: step d of adapter i and column j is at i * stride + d * up_row +
    // (j - its first column) * up_col.
    adapters: "u32",
    r: "u32",
    stride: "u32",
    up_row: "u32",
    up_col: "u32",
    column: "u32",
    step: "u32",
    width: "u32",
    // How much wider the first adapter is, and how much later the others begin.
    skew: "u32",
    b_type: "override",
    activation: "override",
  },
  null,
  undefined,
  {
    products,
    preludes: ["activation", "linear"],
    inBlocks: "b",
    inPanels: () => true,
    variants: {
      wide: ["", ".scalar", ".quantized"],
      middle: ["", ".scalar", ".quantized"],
      gemv: ["", ".scalar", ".quantized"],
    },
  },
);

interface ProductTensors {
  out: Tensor;
  /** [rows, k]. */
  a: Tensor;
  /** The weight [in, out], of any type; in blocks it is stored as [out, in]. */
  W: Tensor;
  transposed: boolean;
  rows: RowCount;
  bias?: Tensor | undefined;
  /** `down`, or its gradient [rows, count r]. */
  adapters?: { group: AdapterGroup; down: Tensor } | undefined;
  epilogue: keyof typeof EPILOGUES;
  activation?: ActivationName;
  act?: Tensor;
  inp?: Tensor;
}

function linear({
  out,
  a,
  W,
  transposed,
  rows,
  bias,
  adapters,
  epilogue,
  act,
  inp,
  ...rest
}: ProductTensors): Dispatch {
  const [n, k] = (transposed ? W.shape : [...W.shape].reverse()) as [number, number];
  // Whether elements along k are contiguous.
  const isAlong = transposed !== W.isInBlocks;
  const room = out.shape[0]!;
  const expect = (name: string, tensor: Tensor | undefined, shape: Shape) =>
    tensor && expectShape(`linear: ${name} (${tensor.name})`, tensor.shape, shape);
  expect("out", out, [room, n]);
  expect("a", a, [room, k]);
  expect("bias", bias, [n]);
  expect("act", act, [room, n]);
  expect("inp", inp, [room, n]);
  const { group, down } = adapters ?? {};
  if (group) expect("down", down, [room, group.count * group.r]);
  // In the backward pass every column has all adapters.
  const up = transposed
    ? { up_row: n, up_col: 1, column: 0, step: 0, width: n, skew: 0 }
    : {
        up_row: 1,
        up_col: group?.r ?? 0,
        column: group?.column ?? 0,
        step: group?.step ?? 0,
        width: group?.width ?? n,
        skew: group?.skew ?? 0,
      };
  return dispatch(
    linearKernel,
    { out, act, a, b: W, bias, down, up: transposed ? group?.A : group?.B, inp },
    {
      m: rows,
      n,
      k,
      b_row: isAlong ? 1 : n,
      b_col: isAlong ? k : 1,
      epilogue: EPILOGUES[epilogue],
      adapters: group?.count ?? 0,
      r: group?.r ?? 0,
      stride: group?.stride ?? 0,
      ...up,
      b_type: typeCode(W),
      activation: ACTIVATION[rest.activation ?? "gelu_new"],
    },
  );
}

export interface LinearForward {
  /** [rows, out]. */
  out: Tensor;
  /** [rows, in]. */
  x: Tensor;
  W: Tensor;
  bias?: Tensor | undefined;
  rows: RowCount;
  adapters?: { group: AdapterGroup; down: Tensor } | undefined;
  /** [rows, out], added to the result. */
  residual?: Tensor | undefined;
  /** Replaces the result by its activation, or writes that to `out` [rows, out]. Not together with a residual. */
  activate?: { by: ActivationName; out: "in place" | Tensor } | undefined;
  /** Writes the result plus `add` to `out`, [rows, out] each. Not together with a residual or an activation. */
  sum?: { add: Tensor; out: Tensor } | undefined;
}

/** out = x W [+ bias] + down B^T [+ residual], and an activation or a sum. */
export function linearForward({ x, residual, activate, sum, ...rest }: LinearForward): Dispatch {
  const product = { ...rest, a: x, transposed: false };
  if (activate) {
    const { by: activation, out: act } = activate;
    if (act === "in place") return linear({ ...product, epilogue: "activate", activation });
    return linear({ ...product, epilogue: "activate_saved", activation, act });
  }
  if (sum) return linear({ ...product, epilogue: "add_saved", act: sum.out, inp: sum.add });
  return linear(residual ? { ...product, epilogue: "add", inp: residual } : { ...product, epilogue: "none" });
}

/** An activation between two matrices: its input, and where its output is recomputed. */
export interface Activated {
  by: ActivationName;
  inp: Tensor;
  act: Tensor;
}

export interface LinearBackward {
  /** [rows, in]. */
  dx: Tensor;
  /** [rows, out]. */
  dy: Tensor;
  W: Tensor;
  rows: RowCount;
  adapters?: { group: AdapterGroup; down: Tensor } | undefined;
  /** Where x = activation(inp): dx is the gradient of inp [rows, in], and x is written to `act` [rows, in]. */
  activated?: Activated | undefined;
  /** [rows, in], added to the result. Not together with an activation. */
  add?: Tensor | undefined;
}

/** dx = dy W^T + ddown A [+ add], or the gradient of the activation's input. */
export function linearBackward({ dx, dy, activated, add, ...rest }: LinearBackward): Dispatch {
  const product = { ...rest, out: dx, a: dy, transposed: true };
  if (activated) {
    const { by: activation, ...tensors } = activated;
    return linear({ ...product, epilogue: "activate_backward", activation, ...tensors });
  }
  return linear(add ? { ...product, epilogue: "add", inp: add } : { ...product, epilogue: "none" });
}

function products(dispatch: Dispatch): Product[] {
  const dim = (name: string) => scalarAt(dispatch, name) as number;
  const [k, r, adapters] = [dim("k"), dim("r"), dim("adapters")];
  const operands = { k, a_offset: 0, a_row: k, a_col: 1, b_offset: 0, b_row: dim("b_row"), b_col: dim("b_col") };
  return [{ ...operands, steps: adapters * r, weights: adapters && (adapters * dim("width") + dim("skew")) * r }];
}
