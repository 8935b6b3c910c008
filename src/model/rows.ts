import type { RowCount } from "../ops/kernel.ts";
import { type Role, type Shape, Tensor } from "../tensor.ts";

/** The rows of a tensor: their number, or the step value that counts them, and the most there can be. */
export interface Rows {
  count: RowCount;
  capacity: number;
}

export function rowTensor(
  name: string,
  { capacity }: Pick<Rows, "capacity">,
  shape: Shape,
  role: Role = "activation",
): Tensor {
  return new Tensor(name, [capacity, ...shape], role);
}
