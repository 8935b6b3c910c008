/** The messages of a run's test set, from its predictions.csv: they are there when the data no longer is. */
import { exists, joinPath, readBytes } from "#platform";
import { parseCsv } from "../report/csv.ts";

/** A message of the test set. */
export interface TestMessage {
  text: string;
  /** Its class, and the one that it got. */
  truth: string;
  predicted: string;
  /** Probability of `predicted`. */
  probability: number;
}

/** The test set of a run directory, in its order; null if the run was not measured on it. */
export async function testMessages(directory: string): Promise<TestMessage[] | null> {
  const path = joinPath(directory, "predictions.csv");
  if (!(await exists(path))) return null;
  const [header = [], ...rows] = parseCsv(new TextDecoder().decode(await readBytes(path)));
  return rows
    .filter(([set]) => set === "test")
    .map(([, , text, truth, predicted, ...probabilities]) => ({
      text: text!,
      truth: truth!,
      predicted: predicted!,
      probability: Number(probabilities[header.indexOf(`probability ${predicted}`) - header.indexOf("predicted") - 1]),
    }));
}

/** What every shell, language and page takes as it stands. */
const PLAIN = /^[\p{L}\p{N}][\p{L}\p{N} ,.?']{0,59}$/u;
/** Characters of a message that says something. */
const TELLING = 20;

/** The message to try a run with: the first plain one of its test set; `texts` are in the order of preference. */
export function textToTry(texts: Iterable<string>): string {
  let short: string | undefined;
  for (const text of texts) {
    if (!PLAIN.test(text)) continue;
    if (text.length >= TELLING) return text;
    short ??= text;
  }
  return short ?? "some text";
}

/** Characters of a sample that is read at a glance. */
const SHORT = 200;

/** Up to `count` messages that were labelled rightly, of each class in turn, and as many that were not, the most confident first. */
export function samplesOf(messages: readonly TestMessage[], count: number): TestMessage[] {
  const pick = (wanted: boolean) => {
    const some = messages.filter(
      ({ text, truth, predicted }) => text.trim() !== "" && (truth === predicted) === wanted,
    );
    const short = some.filter(({ text }) => text.length <= SHORT);
    return short.length > 0 ? short : some;
  };
  const seen = new Map<string, number>();
  const right = pick(true).map((message) => {
    const turn = seen.get(message.truth) ?? 0;
    seen.set(message.truth, turn + 1);
    return { message, turn };
  });
  return [
    ...right
      .sort((a, b) => a.turn - b.turn)
      .map(({ message }) => message)
      .slice(0, count),
    ...pick(false)
      .sort((a, b) => b.probability - a.probability)
      .slice(0, count),
  ];
}
