/** What is measured of a model on a set, during training and after it. */

/** Loss and measures of a model on a set. */
export interface Evaluation {
  /** Messages, or tokens that have a target. */
  rows: number;
  /**
   * Mean cross-entropy, nats; never weighted by class, so that it can be compared between runs. Of a regression the
   * mean squared error.
   */
  loss: number;
  /**
   * Share of rows whose class, or whose token, has the largest logit; where messages have several labels, of those with
   * all of them and no other. A regression has none.
   */
  accuracy?: number;
  /** Of a classifier: see `macroF1`. */
  macroF1?: number;
  /** Where messages have several labels: F1 of all of them together. */
  microF1?: number;
  /** Of a token classifier: F1 of all entities together. */
  entityF1?: number;
  /** Of a regression: the mean absolute error. */
  meanError?: number;
  /** Of a language model: exp(loss). */
  perplexity?: number;
  /**
   * Of a language model: the loss of all tokens, in bits, divided by the UTF-8 bytes of their text; <|endoftext|> has a
   * loss and no bytes.
   */
  bitsPerByte?: number;
}

/** Those of a run's sets; null: there is no validation set. */
export interface Evaluations extends Splits<Evaluation | null> {
  train: Evaluation;
  test: Evaluation;
}

/** A value for each set. */
export interface Splits<T> {
  train: T;
  val: T;
  test: T;
}
