/** How a token classifier is trained and measured. */

import { percent } from "../../core/format.ts";
import { type Hits, type LabelMeasures, labelMeasures } from "../../core/statistics.ts";
import { TAGS, type TaggedRows } from "../../labels/tags.ts";
import { type Columns, countRows, type Places, sampledMeasure } from "../compare.ts";
import { argmaxRows } from "../predictions.ts";
import { LABEL } from "../stored.ts";
import { MISTAKES, type Training } from "../task.ts";
import { countSame, type Entity, entityFinder } from "./entities.ts";

/** A set of sentences, as far as it is measured. */
export interface Sentences extends TaggedRows {
  readonly labels: readonly string[];
}

export interface EntityResult extends LabelMeasures {
  type: string;
}

/** What only the results of a token classifier have. */
export interface EntityDetails {
  types: EntityResult[];
}

/** The sum of a column's numbers, of all rows or of those at `at`. */
function total(column: readonly number[], at?: Places): number {
  if (!at) return column.reduce((sum, one) => sum + one, 0);
  let sum = 0;
  for (let i = 0; i < at.length; i++) sum += column[at[i]!]!;
  return sum;
}

/** As seqeval: 0 if no entity is right. */
function entityF1({ there = [], named = [], same = [] }: Columns, at?: Places): number {
  const right = total(same, at);
  return right === 0 ? 0 : (2 * right) / (total(there, at) + total(named, at));
}

/** The tags of each sentence, of those of all words of the set, or of its first sentences. */
export function divide(set: Sentences, values: ArrayLike<number>): number[][] {
  let end = 0;
  const rows: number[][] = [];
  for (let row = 0; row < set.size; row++) {
    const { length } = set.tags(row);
    if (end + length > values.length) break;
    rows.push(Array.from({ length }, (_, word) => values[end + word]!));
    end += length;
  }
  return rows;
}

const COLUMNS = ["there", "named", "same", "words", "hits"] as const;

/** What a sentence adds to the columns: its entities, those that were found, those of both; its words, those right. */
function compareTags(find: ReturnType<typeof entityFinder>, truth: readonly number[], predicted: readonly number[]) {
  const [own, found] = [find(truth), find(predicted)];
  const hits = truth.filter((tag, word) => tag === predicted[word]).length;
  return { there: own.length, named: found.length, same: countSame(own, found), words: truth.length, hits };
}

const SHARE = { format: (share: number) => percent(share), most: 1, isShare: true } as const;

const HELP =
  "Precision and recall of whole entities, in one figure: an entity is right if its type and all of its words are.";

const measures: Training["measures"] = /* @__PURE__ */ (() => [
  sampledMeasure(
    { key: "entity_f1", title: "Entity F1", hub: "f1", ...SHARE, help: HELP, evaluated: "entityF1" },
    entityF1,
  ),
  sampledMeasure(
    { key: "acc", title: "Word accuracy", ...SHARE, evaluated: "accuracy" },
    ({ words = [], hits = [] }, at) => total(hits, at) / total(words, at),
  ),
  sampledMeasure({ key: "precision", title: "Precision", ...SHARE }, ({ named = [], same = [] }, at) =>
    total(same, at) === 0 ? 0 : total(same, at) / total(named, at),
  ),
  sampledMeasure({ key: "recall", title: "Recall", ...SHARE }, ({ there = [], same = [] }, at) =>
    total(same, at) === 0 ? 0 : total(same, at) / total(there, at),
  ),
])();

export const training: Training<Sentences, EntityDetails> = {
  defaults: { pooling: "last-token", classWeights: "none" },
  lacks: {
    corrections: "a sentence has a tag for each word",
    dataset: "sentences are read from files",
    labelSeparator: "a word has one tag",
    sheet: "sentences are not read from Excel files",
    skipFaulty: "a sentence with a fault is not left out",
    split: "sentences are shuffled by the seed, and then split",
    balance: "sentences have no class",
    dedupe: "sentences are not compared",
    trainRows: "all sentences are read",
    padding: "sentences are packed",
    stride: "sentences are not divided into blocks",
    pooling: "every word is classified",
    classWeights: "sentences have no class",
    calibrate: "a temperature is for one class a message",
    threshold: "a word has one tag",
    positive: "there are more than two tags",
  },
  labels: TAGS,
  measures,
  answer: argmaxRows,
  columns(set, values) {
    const find = entityFinder(set.labels);
    const rows = divide(set, values).map((tags, row) => compareTags(find, set.tags(row), tags));
    return Object.fromEntries(COLUMNS.map((key) => [key, rows.map((one) => one[key])]));
  },
  predict: (logits, { labels }) => ({ values: argmaxRows(logits as Float32Array, labels.length) }),
  answers(set, { values }) {
    const find = entityFinder(set.labels);
    const write = (tags: readonly number[], row: number) => find(tags).map((entity) => inWords(set.words(row), entity));
    const predicted = divide(set, values);
    return { truth: predicted.map((_, row) => write(set.tags(row), row)), predicted: predicted.map(write) };
  },
  describe(set, { values, columns }) {
    const { there = [], named = [], same = [] } = columns;
    const wrong = (row: number) => there[row]! + named[row]! - 2 * same[row]!;
    const rows = [...Array(countRows(columns)).keys()];
    const right = rows.filter((row) => wrong(row) === 0 && there[row]! > 0);
    return {
      samples: right.slice(0, SAMPLED),
      mistakes: rows
        .filter((row) => wrong(row) > 0)
        .sort((a, b) => wrong(b) - wrong(a))
        .slice(0, MISTAKES),
      preferred: [...right, ...rows],
      details: { types: measureTypes(set, divide(set, values)) },
    };
  },
  stored: {
    answer: "texts",
    columns: () => Object.fromEntries(COLUMNS.map((key) => [key, Infinity])),
    details: { types: [{ type: "text", ...LABEL }] },
  },
};

const SAMPLED = 3;

/** "PER: John Smith" */
const inWords = (words: readonly string[], { type, first, last }: Entity) =>
  `${type}: ${words.slice(first, last + 1).join(" ")}`;

/** The entities of each type, in the order of their names. */
function measureTypes(set: Sentences, predicted: readonly (readonly number[])[]) {
  const find = entityFinder(set.labels);
  const hits = new Map<string, Hits>();
  const add = (entities: readonly Entity[], count: (entities: readonly Entity[]) => Partial<Hits>) => {
    for (const type of new Set(entities.map((entity) => entity.type))) {
      const before = hits.get(type) ?? { there: 0, named: 0, right: 0 };
      const { there = 0, named = 0, right = 0 } = count(entities.filter((entity) => entity.type === type));
      hits.set(type, { there: before.there + there, named: before.named + named, right: before.right + right });
    }
  };
  for (const [row, tags] of predicted.entries()) {
    const [own, found] = [find(set.tags(row)), find(tags)];
    add(own, (some) => ({ there: some.length, right: countSame(some, found) }));
    add(found, (some) => ({ named: some.length }));
  }
  return [...hits].sort(([a], [b]) => (a < b ? -1 : 1)).map(([type, one]) => ({ type, ...labelMeasures(one) }));
}
