/** A classic model and its file, by name: what a page knows of them before it uses one. */
import { exists, isServed, joinPath } from "#platform";
import type { PairSettings } from "../core/pair.ts";
import type { MessagesObjective } from "../tasks/index.ts";
import type { Tfidf } from "./tfidf.ts";

/** The file of a run's directory. */
export const CLASSIC = "classic.json";

export interface ClassicParts {
  objective: MessagesObjective;
  /** "TF-IDF, logistic regression (C 10)" */
  name: string;
  /** What its fit left out, for people. */
  limits?: string;
  /** The C or alpha that its fit chose; absent: it was read from a file. */
  strength?: number;
  /** Of the outputs: the classes that had training rows, the labels, or "score". */
  labels: readonly string[];
  /** Of pairs of texts: their columns. */
  pairs?: PairSettings;
  tfidf: Tfidf;
  /** [width + 1, outputs], of which the last row are the biases. Two classes have one output: that of the second. */
  weights: Float64Array;
}

/** The path of the file in a directory, or of this file. */
export const placeOf = (path: string) => (/\.json$/i.test(path) ? path : joinPath(path, CLASSIC));

/** Whether a path is that of a classic model, or of a run that has no other. */
export async function isClassic(path: string): Promise<boolean> {
  return !isServed(path) && (await exists(placeOf(path))) && !(await exists(joinPath(path, "adapter")));
}
