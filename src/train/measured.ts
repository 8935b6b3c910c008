/** What the measures of all objectives have in common. */

/** A value for each set. */
export interface Splits<T> {
  train: T;
  val: T;
  test: T;
}

/** Messages that are kept with the results as mistakes. */
export const MISTAKES = 100;
