/**
 * Words of someone else's files in all that is generated: whatever they are, the code has the same syntax tree, the
 * markup the same elements and the text the same lines as with harmless words.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { parse as parseScript } from "@babel/parser";
import * as assert from "uvu/assert";
import { parse as parseYaml } from "yaml";
import { LowrankError } from "../../src/core/errors.ts";
import { printable, printableLine } from "../../src/core/printable.ts";
import * as quote from "../../src/core/quote.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { type Block, type Cell, makeTable, type RowColumn } from "../../src/document/blocks.ts";
import { modelCard } from "../../src/export/card.ts";
import { EXPORTS, planExport } from "../../src/export/index.ts";
import { planStandalone } from "../../src/export/page.ts";
import { listUsages, pageQuestion, type Trained } from "../../src/export/usage.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import type { RunRecord } from "../../src/record/record.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { describeForCard } from "../../src/views/card.ts";
import { blockFiles } from "../../src/views/files.ts";
import { toHtml } from "../../src/views/html.tsx";
import { toMarkdown } from "../../src/views/markdown.ts";
import { reportBlocks, runReport } from "../../src/views/run-report.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { drawTensors, LM, testMeta } from "../helpers/adapters.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertWellFormed } from "../helpers/markup.ts";
import { SMALL, TASKS } from "../helpers/models.ts";
import { smallModel, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
/** Stands where a word of a file can be: in labels, names of columns and files, texts, tokens, folders. */
const PLAIN = "zzword";
const HOSTILE = [
  "a\nimport os; os.system('touch ran')\n# b\r\nprocess.exit(1);//c\u2028process.exit(1)//\u2029",
  `"]}');"*/ \`\${process.exit(1)}\` \\ $(touch ran); 'touch ran' "$HOME" !! {{title}} $& $1 %s`,
  "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)>&amp;",
  "```\n# heading\n| a | b |\n```\n[a](javascript:alert(1)) ![b](c) *d* _e_ ~f~",
  "---\nlicense: mine\n---\n",
  "\u001b[2J\u0007\u009b1m\u202egnp.exe\u0085\u0000\ud800",
];

/** The same value with another word in each text. */
const put = <T>(value: T, word: string): T =>
  JSON.parse(JSON.stringify(value).replaceAll(PLAIN, JSON.stringify(word).slice(1, -1)));

/** Of a few tokens: tokenizers are among what is generated. */
const base = smallModel(join(folder, "base"));

/** A run whose file, columns, labels and texts all have the word. */
async function trained(): Promise<{ record: RunRecord; data: LoadedDataset }> {
  const rows = Array.from({ length: 60 }, (_, i) => `${i} ${PLAIN},${i % 3} ${PLAIN}`);
  await using model = await openBaseModel(tinyModel(join(folder, "trained")));
  const data = await tinyData(`text ${PLAIN},label ${PLAIN}\n${rows.join("\n")}\n`, {
    ...{ textColumn: `text ${PLAIN}`, labelColumn: `label ${PLAIN}`, model },
  });
  const device = await testDevice("wasm 1 thread");
  const run = await fineTune({ device, model, data, epochs: 1, rank: 2 });
  return { record: { ...JSON.parse(JSON.stringify(run.record)), data: { file: `/home/me/${PLAIN}.csv` } }, data };
}
let made: ReturnType<typeof trained> | undefined;

/** Adapters of each task, and of pairs. */
const METAS: readonly Partial<AdapterMeta>[] = [
  { labels: [`one ${PLAIN}`, `two ${PLAIN}`] },
  { labels: [`one ${PLAIN}`, `two ${PLAIN}`], settings: { pairs: { columns: [`a ${PLAIN}`, `b ${PLAIN}`] } } },
  { labels: [`${PLAIN}`], task: TASKS.regression },
  {
    labels: [PLAIN, `b ${PLAIN}`, `c ${PLAIN}`],
    task: TASKS["multi-label"],
    settings: { thresholds: [0.5, 0.2, 0.5] },
  },
  { ...LM, settings: { chat: true } },
];

const generated = new Map<string, Promise<Map<string, string>>>();

/** All that is generated of the word, each with its name. */
function generate(word: string): Promise<Map<string, string>> {
  const made = generated.get(word) ?? generateAll(word);
  generated.set(word, made);
  return made;
}

/** A table that a report's script opens. */
function longTable(word: string): Block {
  const columns = [word, "b"].map((title): RowColumn<Cell> => ({ title, key: title, value: (cell) => cell }));
  const rows = Array.from({ length: 30 }, (_, i) => (i % 2 ? word : { text: word, href: `trials/${word}/a.csv` }));
  return makeTable<Cell>("long", "A long table", columns, rows);
}

async function generateAll(word: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  made ??= trained();
  const { record, data } = await made;
  const run = put(record, word);
  const { labels, source, stats } = data;
  const loaded = { ...data, ...put({ labels, source, stats }, word) };
  texts.set("run.html", runReport(run, { classic: null }, loaded));
  const blocks = [...reportBlocks(run, { classic: null }, loaded), longTable(word)];
  texts.set("report.html", toHtml(`title ${word}`, blocks));
  texts.set("report.md", toMarkdown(blocks));
  texts.set("report.txt", renderBlocks(blocks));
  for (const [name, content] of blockFiles(blocks)) if (name.endsWith(".svg")) texts.set(name, content);
  await using opened = await openBaseModel(base);
  const { end } = opened.vocabulary;
  const chat = { template: `{{ "${word}" }}\n{{ messages }}`, tokens: {} };
  const vocabulary = { ...opened.vocabulary, chat, end: { ...end, text: `${end.text}${word}` } };
  const baseModel = Object.assign(Object.create(opened) as typeof opened, { vocabulary });
  for (const [i, rest] of METAS.entries()) {
    const meta = testMeta({ target_modules: ["q", "v"] }, { model: SMALL, base_model: base, ...put(rest, word) });
    const adapter = { meta, tensors: drawTensors(meta) };
    const about = { record: run, sections: describeForCard(run) };
    const places = i === 0 ? (["folder", "hub"] as const) : (["folder"] as const);
    for (const kind of EXPORTS)
      for (const place of places) {
        const options = { about, base: { name: `/home/me/${word}`, place } };
        const plan = await planExport(kind, { adapter, baseModel }, options).catch((error) => {
          if (!(error instanceof LowrankError)) throw error;
        });
        for (const [name, content] of plan?.files ?? [])
          if (typeof content === "string") texts.set(`${kind} ${i} ${place} ${name}`, content);
      }
    for (const place of places) {
      const trained: Trained = {
        ...{ meta, base: { name: `/home/me/${word}`, place }, frame: { ...vocabulary, prompt: word }, obstacle: null },
        example: meta.settings.pairs ? [word, word] : word,
      };
      const usages = listUsages(trained, `run ${word}`, `run ${word}/adapter`);
      texts.set(`${i} ${place} README.md`, modelCard({ ...trained, title: word, licence: undefined, usages }));
      for (const { language, code } of usages) if (code !== null) texts.set(`${i} ${place} usage.${language}`, code);
    }
    if (i > 1) continue;
    const examples = [meta.settings.pairs ? ([word, word] as const) : word];
    const page = { title: pageQuestion(meta), summary: word, examples };
    const template = '<title>{{title}}</title><p title="{{examples}}">{{summary}}</p>\n<!--files-->';
    for await (const piece of (await planStandalone(template, page, adapter, opened)).write()) {
      texts.set(`${i} page.html`, new TextDecoder().decode(piece));
      break;
    }
  }
  return texts;
}

const isNode = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";

/** The kinds of a script's syntax tree, in order. */
function scriptShape(code: string): string {
  const kinds: unknown[] = [];
  const walk = (value: unknown) => {
    if (isNode(value)) kinds.push(value.type);
    if (typeof value !== "object" || value === null) return;
    for (const [key, part] of Object.entries(value)) if (!/^(loc|extra|errors|.*Comments)$/.test(key)) walk(part);
  };
  walk(parseScript(code, { sourceType: "module" }).program);
  return kinds.join(" ");
}

/** The elements of HTML with the names of their attributes, and its scripts. */
function markupShape(html: string): string {
  return (
    html
      .replace(/(<script[^>]*>)(.*?)(<\/script>)/gs, (_, open, code, close) => `${open}${scriptShape(code)}${close}`)
      // A quoted value may have a ">".
      .replaceAll(/="[^"<]*"/g, "=")
      .replaceAll(/>[^<]*/g, ">")
  );
}

/** What Markdown means: the marks that are neither escaped nor in code, line by line, and its blocks of code. */
function markdownShape(text: string): string {
  const [, front, body] = /^(?:---\n(.*?)\n---\n)?(.*)$/s.exec(text)!;
  const keys = front === undefined ? [] : Object.keys(parseYaml(front));
  const blocks = body!.split(/^(```+)(\w+)\n(.*?)\n\1$/ms);
  const shapes = blocks.map((block, i) => {
    if (i % 4 === 1) return "";
    if (i % 4 === 2) return block;
    if (i % 4 === 3) return codeShape(block, blocks[i - 1]!);
    return block
      .replaceAll(/\\[^\n]|(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)/g, "")
      .replaceAll(/\]\([^()\s]*\)/g, "](u)")
      .replaceAll(/(?<!^)[^|`*_<>[\]~$\n]+/gm, "");
  });
  return [...keys, ...shapes].join("\n");
}

/** Code without what its literals say. */
function codeShape(code: string, language: string): string {
  // A template is shown as it is: it may only not end its block.
  if (language === "jinja") return "";
  if (language === "js") return scriptShape(code);
  if (language === "html") return markupShape(code);
  const literals = language === "sh" ? /'(?:[^'\n]|'\\'')*'|"[^"\n$`\\!]*"/g : /"(?:[^"\\\n]|\\.)*"/g;
  return code.replaceAll(literals, "L").replaceAll(/(?<=--model )\S+/g, "L");
}

function shapeOf(name: string, text: string): string {
  const [, ending = ""] = /\.(\w+)$/.exec(name)!;
  if (ending === "svg") {
    assertWellFormed(text);
    return "";
  }
  if (ending === "json") return "";
  if (ending === "txt") return String(text.split("\n").length);
  if (ending === "md") return markdownShape(text);
  return ending === "python" ? codeShape(text, ending) : ending === "html" ? markupShape(text) : scriptShape(text);
}

for (const word of HOSTILE)
  test(`nothing generated is anything else because of ${quote.literal(word)}`, async () => {
    const expected = await generate(PLAIN);
    const found = await generate(word);
    assert.equal([...found.keys()], [...expected.keys()]);
    for (const [name, text] of found) {
      assert.is(shapeOf(name, text), shapeOf(name, expected.get(name)!), `${name}\n${text}`);
      // Of JSON the file is one's own, and the reader's parser takes what it has.
      if (name.endsWith("json")) JSON.parse(text);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
      else assert.not.match(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202e]/, name);
    }
  });

test("every form that has the task is among what is generated", async () => {
  const names = [...(await generate(PLAIN)).keys()].filter((name) => name.endsWith(" folder README.md"));
  for (const kind of EXPORTS)
    assert.ok(
      names.some((name) => name.startsWith(`${kind} `)),
      kind,
    );
});

test("the front matter says what the words are", async () => {
  for (const word of HOSTILE) {
    const card = (await generate(word)).get("peft 0 hub README.md")!;
    const [, front] = /^---\n(.*?)\n---\n/s.exec(card)!;
    assert.is(parseYaml(front!).base_model, `/home/me/${word}`);
  }
});

/** Python's own syntax trees, where it is installed: of every block of code that is printed for it. */
test("Python reads the same program, whatever the words are", async () => {
  const programs = async (word: string) =>
    [...(await generate(word))].flatMap(([name, text]) =>
      name.endsWith("python") ? [text] : [...text.matchAll(/^(```+)python\n(.*?)^\1$/gms)].map(([, , code]) => code!),
    );
  const script = `import ast, json, sys
kinds = lambda code: [type(node).__name__ for node in ast.walk(ast.parse(code))]
print(json.dumps([" ".join(kinds(code)) for code in json.load(sys.stdin)]))`;
  const shapes = (codes: string[]) => {
    const { stdout, stderr, error } = spawnSync("python3", ["-I", "-c", script], { input: JSON.stringify(codes) });
    if (error) return null;
    assert.is(String(stderr), "");
    return JSON.parse(String(stdout)) as string[];
  };
  const expected = shapes(await programs(PLAIN));
  if (expected === null) return;
  assert.ok(expected.length > 20);
  for (const word of HOSTILE) assert.equal(shapes(await programs(word)), expected, word);
});

test("each quoting function gives back what it was given, in its language", () => {
  for (const word of HOSTILE) {
    assert.is(JSON.parse(quote.literal(word)), word);
    assert.is(parseYaml(`a: ${quote.literal(word)}`).a, word);
    assert.is(runInNewContext(quote.scriptLiteral(word)), word);
    assert.not.match(quote.scriptLiteral(word), /</);
    const unescaped = quote.htmlText(word).replaceAll(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));
    assert.is(unescaped, word);
    for (const line of [printableLine(word), quote.markdownText(word)]) assert.not.match(line, /\n/);
    assert.match(quote.nameFile(word, "run.zip"), /^([\p{L}\p{M}\p{N}-]{1,40}-)?run\.zip$/u);
  }
  for (const [data, name] of [
    ["spam", "spam-run.zip"],
    ["Tickets März.2024.csv.gz, b.jsonl", "Tickets-März-2024-b-run.zip"],
    ["stanfordnlp/sst2", "stanfordnlp-sst2-run.zip"],
    ["../..", "run.zip"],
  ] as const)
    assert.is(quote.nameFile(data, "run.zip"), name);
  assert.equal(quote.markdownFence("js", ["`````"]), ["``````js", "`````", "``````"]);
  assert.is(printable("a\tb\nc\u001b"), "a\tb\nc\\u001b");
});
