/** A classic model: a linear one on the TF-IDF of texts, which needs neither a base model nor a device. */
import type { PairSettings, TextOrPair } from "../core/pair.ts";
import type { MessagesObjective } from "../tasks/index.ts";
import type { Classification, Scored } from "../tasks/predictions.ts";
import type { ClassicParts } from "./parts.ts";

/** A page that has no such model does not load it; bundlers write some lines for each import. */
const loadCode = () => import("./answers.ts");

/**
 * A classifier, or a regression, on the TF-IDF of words and characters, as scikit-learn's: what each run is compared
 * with, and keeps in `classic.json`. It answers without a base model and without a device.
 *
 * @example
 * ```ts
 * import { ClassicModel } from "lowrank/engine";
 *
 * const classic = await ClassicModel.load("runs/first"); // or the path of a classic.json
 * const [first] = await classic.classify("You have won a prize, call now");
 * console.log(classic.name, first!.label, first!.probability);
 * ```
 */
export class ClassicModel {
  /** "TF-IDF, logistic regression (C 10)" */
  readonly name: string;
  /** Names of the classes or labels; of a regression "score". */
  readonly labels: readonly string[];
  /** What it learned, as an adapter's `meta` says it. */
  readonly meta: {
    labels: readonly string[];
    task: { objective: MessagesObjective };
    settings: { pairs?: PairSettings };
  };

  /** @internal */
  constructor(readonly parts: ClassicParts) {
    const { name, labels, objective, pairs } = parts;
    this.name = name;
    this.labels = labels;
    this.meta = { labels, task: { objective }, settings: pairs ? { pairs } : {} };
  }

  /**
   * Loads the classic model of a run's directory, a zip file of one, or a file of this form. Throws ConfigError if there
   * is none, FormatError if it is damaged.
   */
  static async load(path: string): Promise<ClassicModel> {
    return new ClassicModel(await (await loadCode()).readClassic(path));
  }

  /**
   * Classifies a text, or several, in order; blank ones have no label. A pair of texts is an array of two. Throws
   * ConfigError if the model gives scores, or reads pairs where these are single texts.
   *
   * @example
   * ```ts
   * import { ClassicModel } from "lowrank/engine";
   *
   * const classic = await ClassicModel.load("runs/first/classic.json");
   * const [first, second] = await classic.classify(["You have won a prize", "See you at noon"]);
   * console.log(first!.label, second!.label);
   * ```
   */
  classify(texts: string | readonly TextOrPair[]): Promise<Classification[]> {
    return this.answer<Classification>("classify", texts);
  }

  /**
   * Scores a text, or several, in order, with a regression. Throws ConfigError if the model gives labels.
   *
   * @example
   * ```ts
   * import { ClassicModel } from "lowrank/engine";
   *
   * const classic = await ClassicModel.load("runs/stars");
   * const [first] = await classic.score("What a lovely day");
   * console.log(first!.score);
   * ```
   */
  score(texts: string | readonly TextOrPair[]): Promise<Scored[]> {
    return this.answer<Scored>("score", texts);
  }

  /**
   * Whether a text, or each of several, in order, is unlike those that it has learned from: it has so few of their words
   * as only 1 in 100 texts of their kind, being of another language, or of no language. What a model says of such a
   * text, this one or the one that it was compared with, means nothing.
   *
   * @example
   * ```ts
   * import { ClassicModel } from "lowrank/engine";
   *
   * const classic = await ClassicModel.load("runs/first");
   * const [isUnlike] = await classic.unlike("qwxz kjfh");
   * const [first] = isUnlike ? [] : await classic.classify("qwxz kjfh");
   * console.log(first?.label ?? "unknown");
   * ```
   */
  async unlike(texts: string | readonly TextOrPair[]): Promise<boolean[]> {
    return (await loadCode()).unlike(this.parts, texts);
  }

  /**
   * Logits [texts, labels], as a model with a head gives them.
   * @internal `labels`: those of a data set, of which some may have had no training row: they have -Infinity.
   */
  async logits(texts: readonly TextOrPair[], labels: readonly string[] = this.labels): Promise<Float32Array> {
    return (await loadCode()).logitsOf(this.parts, texts, labels);
  }

  private async answer<T>(method: "classify" | "score", texts: string | readonly TextOrPair[]): Promise<T[]> {
    return (await loadCode()).answer(this.parts, method, texts) as Promise<T[]>;
  }
}
