import type { BatchRows } from "../ops/shares.ts";
import { type Role, type Shape, Tensor } from "../tensor.ts";

/** The rows of a tensor: the step value that counts them, and the most there can be. */
export interface Rows extends BatchRows {
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
