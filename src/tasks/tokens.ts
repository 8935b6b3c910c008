/** A tag for each word of a sentence: entities, parts of speech. The target is that of a word's first token. */
import { type Entity, findEntities } from "./entities.ts";
import { predictions, type TaggedText } from "./predictions.ts";
import type { Predictor, Task } from "./task.ts";

const predicts: Predictor<TaggedText> = {
  method: "tag",
  blank: () => ({ entities: [] }),
  of(logits, { labels }, texts) {
    const all = predictions(logits, labels.length);
    let end = 0;
    return texts.map(({ text, words }) => {
      const own = all.slice(end, end + words.length);
      end += words.length;
      const span = ({ type, first, last }: Entity) => {
        const [start, stop] = [words[first]!.start, words[last]!.end];
        const probability = Math.min(...own.slice(first, last + 1).map((one) => one.probability));
        return { label: type, text: text.slice(start, stop), start, end: stop, probability };
      };
      return { entities: findEntities(own.map(({ label }) => labels[label]!)).map(span) };
    });
  },
};

export const task: Task = {
  title: "a token classifier",
  target: "token",
  head: "own",
  loss: "cross-entropy",
  outputs: { least: 2 },
  peft: "TOKEN_CLS",
  module: { gpt2: "classifier", llama: "score", hasBias: true },
  predicts,
};
