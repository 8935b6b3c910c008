/** Makes and measures the tags of a token classifier. */
import { type Hits, labelMeasures } from "../../statistics.ts";
import { countRows } from "../compare.ts";
import { argmaxRows } from "../predictions.ts";
import { LABEL } from "../stored.ts";
import { type Measuring, MISTAKES } from "../task.ts";
import { countSame, type Entity, entityFinder } from "./entities.ts";
import { COLUMNS, divide, type EntityDetails, type Sentences } from "./tokens-training.ts";

const SAMPLED = 3;

/** "PER: John Smith" */
const inWords = (words: readonly string[], { type, first, last }: Entity) =>
  `${type}: ${words.slice(first, last + 1).join(" ")}`;

export const measuring: Measuring<Sentences, EntityDetails> = {
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
