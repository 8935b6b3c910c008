/** A run's classic model as JSON, with the few lines of Python and of JavaScript that use it. */
import { printClassic } from "../classic/file.ts";
import type { ClassicModel } from "../classic/model.ts";
import { CLASSIC } from "../classic/parts.ts";
import { formatCount } from "../format.ts";
import { METHODS } from "../methods/index.ts";
import type { FileContent } from "../platform/reader.ts";
import { printableLine } from "../printable.ts";
import { htmlText, markdownCode, markdownFence, markdownLine, markdownText, scriptLiteral } from "../quote.ts";
import { dataName, type RunRecord } from "../run/record.ts";
import { readFigure } from "../tasks/compare.ts";
import type { MessagesObjective } from "../tasks/index.ts";
import type { LabelKind } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { USAGES } from "../tasks/usages.ts";
import { LISTED, MARK, README } from "./replaceable.ts";
import { pageQuestion } from "./usage.ts";

const PYTHON = "use.py";
const SCRIPT = "use.mjs";
const PAGE = "use.html";

/** What the scores of a text become, in the last lines of `predict`. */
const ENDS: Record<Exclude<LabelKind, "tags">, { python: readonly string[]; javascript: readonly string[] }> = {
  class: {
    python: [
      'powers = [math.exp(score - max(scores)) for score in ([0] if len(scores) < len(model["labels"]) else []) + scores]',
      'return {label: power / sum(powers) for label, power in zip(model["labels"], powers)}',
    ],
    javascript: [
      "const powers = (scores.length < labels.length ? [0, ...scores] : scores).map((score) => Math.exp(score - Math.max(...scores)));",
      "return Object.fromEntries(labels.map((label, i) => [label, powers[i] / powers.reduce((a, b) => a + b)]));",
    ],
  },
  set: {
    python: ['return {label: 1 / (1 + math.exp(-score)) for label, score in zip(model["labels"], scores)}'],
    javascript: ["return Object.fromEntries(labels.map((label, i) => [label, 1 / (1 + Math.exp(-scores[i]))]));"],
  },
  score: { python: ["return scores[0]"], javascript: ["return scores[0];"] },
};

const endsOf = (objective: MessagesObjective) => ENDS[TRAINING[objective].labels as keyof typeof ENDS];

/** Twenty lines at most. Nothing in them is from the model: they read its file. */
const python = (objective: MessagesObjective) => `import collections, json, math, pathlib, re, sys
model = json.loads(pathlib.Path(__file__).with_name("${CLASSIC}").read_text("utf-8"))
columns = [{ngram: i for i, ngram in enumerate(v["ngrams"])} for v in model["vocabularies"]]
def ngrams(analyzer, text):
    if analyzer == "word":
        words = re.findall(r"\\w\\w+", text)
        return words + [" ".join(pair) for pair in zip(words, words[1:])]
    words = [f" {word} " for word in text.split()]
    return [word[i : i + n] for word in words for n in range(2, 6) for i in range(len(word) - n + 1)]
def predict(*texts):
    scores = model["intercept"]
    for v, column in zip(model["vocabularies"], columns):
        counts = collections.Counter(column[ngram] for ngram in ngrams(v["analyzer"], texts[v["text"]].lower()) if ngram in column)
        row = {i: count * (math.log((1 + model["rows"]) / (1 + v["df"][i])) + 1) for i, count in counts.items()}
        length = math.sqrt(sum(value * value for value in row.values())) or 1
        scores = [score + sum(x * coef[i] for i, x in row.items()) / length for score, coef in zip(scores, v["coef"])]
${endsOf(objective)
  .python.map((line) => `    ${line}\n`)
  .join("")}if __name__ == "__main__":
    print(json.dumps(predict(*sys.argv[1:]), ensure_ascii=False))
`;

/** What a script and a page have in common, behind `rows`, `labels`, `intercept` and `vocabularies`. */
const predictor = (
  objective: MessagesObjective,
) => `const columns = vocabularies.map(({ ngrams }) => new Map(ngrams.map((ngram, i) => [ngram, i])));
const words = (text) => text.split(/[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+/u).filter(Boolean);
const analyzers = {
  word: (text) => (text.match(/[\\p{L}\\p{N}_]{2,}/gu) ?? []).flatMap((word, i, all) => (i ? [word, \`\${all[i - 1]} \${word}\`] : word)),
  char_wb: (text) => words(text).map((word) => [...\` \${word} \`]).flatMap((word) => [2, 3, 4, 5].flatMap((n) => word.slice(n - 1).map((_, i) => word.slice(i, i + n).join("")))),
};
export function predict(...texts) {
  const scores = [...intercept];
  for (const [v, { text, analyzer, df, coef }] of vocabularies.entries()) {
    const row = new Map();
    for (const i of analyzers[analyzer](texts[text].toLowerCase()).map((ngram) => columns[v].get(ngram))) if (i !== undefined) row.set(i, (row.get(i) ?? 0) + Math.log((1 + rows) / (1 + df[i])) + 1);
    const length = Math.sqrt([...row.values()].reduce((sum, value) => sum + value * value, 0)) || 1;
    for (const k of scores.keys()) for (const [i, value] of row) scores[k] += (value * coef[k][i]) / length;
  }
${endsOf(objective)
  .javascript.map((line) => `  ${line}\n`)
  .join("")}}
`;

const javascript = (objective: MessagesObjective) => `import { readFileSync } from "node:fs";
const { rows, labels, intercept, vocabularies } = JSON.parse(readFileSync(new URL("${CLASSIC}", import.meta.url)));
${predictor(objective)}if (process.argv.length > 2) console.log(JSON.stringify(predict(...process.argv.slice(2))));
`;

/** A page of one file, with the model in it: it answers as a text is typed, and sends nothing. */
function page({ meta, parts }: ClassicModel, stored: Uint8Array): string {
  const { rows, intercept, vocabularies } = JSON.parse(new TextDecoder().decode(stored));
  const { objective, labels, pairs } = parts;
  const isScore = TRAINING[objective].labels === "score";
  const title = isScore ? "What score?" : pageQuestion(meta);
  const shown = isScore ? "value.toFixed(3)" : '(100 * value).toFixed(1) + " %"';
  const fields = (pairs?.columns ?? ["Text"]).map(
    (name) => `<p><label>${htmlText(name)}<textarea rows="5"></textarea></label>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${htmlText(title)}</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  body { max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
  textarea { display: block; width: 100%; box-sizing: border-box; font: inherit; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; }
</style>
<main>
<h1>${htmlText(title)}</h1>
${fields.join("\n")}
<dl aria-live="polite"></dl>
<p>${htmlText(parts.name)}. The model is in this file, and no text leaves it.
</main>
<script type="module">
const [rows, labels, intercept, vocabularies] = ${scriptLiteral([rows, labels, intercept, vocabularies])};
${predictor(objective)}
const fields = [...document.querySelectorAll("textarea")];
const list = document.querySelector("dl");
function show() {
  const texts = fields.map(({ value }) => value);
  const made = texts.join("").trim() ? predict(...texts) : {};
  const answers = Object.entries(typeof made === "number" ? { score: made } : made).sort((a, b) => b[1] - a[1]);
  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });
  list.replaceChildren(...answers.flatMap(([label, value]) => [element("dt", label), element("dd", ${shown})]));
}
for (const field of fields) field.addEventListener("input", show);
</script>
`;
}

/** The files of the export. `record`: of its run; undefined: the model is from elsewhere. */
export function classicFiles(classic: ClassicModel, record: RunRecord | undefined): Map<string, FileContent> {
  const { objective, pairs } = classic.parts;
  const stored = printClassic(classic.parts)!;
  const files = new Map<string, FileContent>([
    [CLASSIC, stored],
    [PYTHON, python(objective)],
    [SCRIPT, javascript(objective)],
    [PAGE, page(classic, stored)],
  ]);
  return files.set(README, printReadme(classic, pairs !== undefined, [...files.keys()], record));
}

function printReadme(
  classic: ClassicModel,
  isPair: boolean,
  files: readonly string[],
  record: RunRecord | undefined,
): string {
  const { name, labels, limits } = classic.parts;
  const { does } = USAGES[classic.parts.objective];
  const text = isPair ? '"a text" "another text"' : '"a text"';
  const parts = [
    "The n-grams, of words (1 and 2) and of characters within words (2 to 5), are those of scikit-learn's TfidfVectorizer",
    `with its defaults; ${markdownCode("df")} is the number of training rows with each, and its idf ln((1 + rows) / (1 + df)) + 1;`,
    `${markdownCode("coef")} and ${markdownCode("intercept")} are those of its linear model.`,
  ];
  return [
    `# ${markdownText(name)}`,
    "",
    `${MARK}${markdownText(record ? dataName(record) : "messages")}: ${markdownText(name)}.`,
    markdownLine(`It ${does(isPair ? "pairs of texts" : "messages", labels.map(printableLine))}.`),
    ...(limits ? [`Its fit left out: ${markdownText(limits)}.`] : []),
    ...(record ? describeFigure(record, name) : []),
    ...[
      "",
      ...parts,
      "",
      `${markdownCode(PAGE)} is a page of one file that uses it. In a terminal, in this folder:`,
      "",
    ],
    ...markdownFence("sh", [`python ${PYTHON} ${text}`, `node ${SCRIPT} ${text}`]),
    "",
    `${LISTED}${files.map(markdownCode).join(", ")}.`,
    "",
  ].join("\n");
}

/** What was measured of it with its run. */
function describeFigure({ objective, results, options }: RunRecord, name: string): string[] {
  const { title, key, format } = TRAINING[objective].measures[0];
  const { compared = [] } = results?.test ?? {};
  const found = METHODS[options.mode].withoutModel ? compared[0] : compared.find((one) => one.name === name);
  const value = readFigure(found?.measured[key]);
  if (!found || value === null) return [];
  return [`${markdownText(`${title} on ${formatCount(found.rows)} test rows: ${format(value)}`)}.`];
}
