/** Logits as classes and probabilities. */

/** The label of a text: the most probable one. */
export interface Classified {
  label: string;
  probability: number;
  /** Probability of every label; none for a blank text. */
  probabilities: Record<string, number>;
  /** Where a text can have several labels: those whose probability reaches their threshold. */
  labels?: string[];
}

/** A text without a label. */
export interface Unclassified extends Pick<Classified, "probabilities" | "labels"> {
  label: null;
  /** Of the most probable label; null: there is none. */
  probability: number | null;
  /**
   * "blank": there is no text; "unsure": no label is as probable as `minProbability`; "none": where a text can have
   * several labels, none reaches its threshold.
   */
  reason: "blank" | "unsure" | "none";
}

/** What a classifier makes of a text. */
export type Classification = Classified | Unclassified;

/** What a regression makes of a text. */
export interface Scored {
  /** Null: the text is blank. */
  score: number | null;
}

/** An entity, or another run of words with a tag: where it is in a text, in UTF-16 units. */
export interface TaggedSpan {
  label: string;
  text: string;
  start: number;
  end: number;
  /** The lowest of its words' probabilities. */
  probability: number;
}

/** What a token classifier makes of a text. */
export interface TaggedText {
  entities: TaggedSpan[];
}

/** What a model makes of a text. */
export type Labelled = Classification | Scored | TaggedText;

/** An answer, true or predicted: a class, a score, labels. */
export type Answer = string | number | readonly string[];

/** What a model says of a text that is not blank; of entities each with its label: "PER: Ann". */
export function answerOf(result: Labelled): Answer {
  if ("score" in result) return result.score!;
  if ("entities" in result) return result.entities.map(({ label, text }) => `${label}: ${text}`);
  return result.labels ?? result.label!;
}

/** Whether a text has a score, a label, or an entity. */
export function isAnswered(result: Labelled): boolean {
  if ("score" in result) return result.score !== null;
  return "entities" in result ? result.entities.length > 0 : result.label !== null;
}

/** What a classifier makes of a row. */
export interface Prediction {
  /** Position in the data set. */
  row: number;
  /** Class id of the largest logit, and its probability. */
  label: number;
  probability: number;
  probabilities: Float64Array;
}

/** How classes and probabilities are made of logits, where it was chosen on the validation set. */
export interface Decision {
  /** By which logits are divided (Guo et al. 2017, "On calibration of modern neural networks"). */
  temperature?: number;
  /** The probability from which one of two classes is predicted, and the id of that class: 0 or 1. */
  threshold?: number;
  positive?: number;
  /** Where a row has several labels, the probability from which each is predicted. */
  thresholds?: readonly number[];
}

/** The prediction as a decision makes it. */
export function decide(one: Prediction, { temperature = 1, threshold, positive }: Decision): Prediction {
  let { label, probabilities } = one;
  if (temperature !== 1) {
    const powers = probabilities.map((share) => share ** (1 / temperature));
    const sum = powers.reduce((a, b) => a + b, 0);
    probabilities = powers.map((power) => power / sum);
  }
  if (threshold !== undefined) label = probabilities[positive!]! >= threshold ? positive! : 1 - positive!;
  return { row: one.row, label, probability: probabilities[label]!, probabilities };
}

/** Softmax in f64. Plain loops: with thousands of classes this is most of an evaluation's time. */
function softmax(logits: ArrayLike<number>): Float64Array {
  const shares = new Float64Array(logits.length);
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) largest = Math.max(largest, logits[i]!);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    shares[i] = Math.exp(logits[i]! - largest);
    sum += shares[i]!;
  }
  for (let i = 0; i < logits.length; i++) shares[i]! /= sum;
  return shares;
}

/** The probability of a label by itself. */
export const sigmoid = (logit: number) => 1 / (1 + Math.exp(-logit));

/** The class with the largest logit of each row of logits [rows, classes]; the first of equal ones. */
export function argmaxRows(logits: ArrayLike<number>, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, i) => {
    const first = i * classes;
    let label = 0;
    for (let c = 1; c < classes; c++) if (logits[first + c]! > logits[first + label]!) label = c;
    return label;
  });
}

/** Probabilities and the most likely class of each row of logits [rows, classes]. */
export function predictions(logits: Float32Array | Float64Array, classes: number): Prediction[] {
  return argmaxRows(logits, classes).map((label, row) => {
    const probabilities = softmax(logits.subarray(row * classes, (row + 1) * classes));
    return { row, label, probability: probabilities[label]!, probabilities };
  });
}

/** Probabilities by the labels' names. */
export const byLabel = (labels: readonly string[], probabilities: ArrayLike<number>) =>
  Object.fromEntries(labels.map((label, i) => [label, probabilities[i]!]));

/** From which probability one of several labels is predicted, unless the validation set has chosen. */
export const USUAL_THRESHOLD = 0.5;

/** The threshold of a label among several, by the settings of an adapter. */
export const labelThreshold = ({ thresholds }: { thresholds?: unknown }, label: number): number =>
  (thresholds as readonly number[] | undefined)?.[label] ?? USUAL_THRESHOLD;
