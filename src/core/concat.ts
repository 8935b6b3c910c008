/** Numbers one behind the other, in a new array of the type `List`. */
export function concat<A extends { set(values: ArrayLike<number>, at: number): void }>(
  List: new (length: number) => A,
  parts: readonly ArrayLike<number>[],
): A {
  const all = new List(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
