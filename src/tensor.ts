import { ShapeError } from "./errors.ts";

export type Shape = readonly number[];

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
