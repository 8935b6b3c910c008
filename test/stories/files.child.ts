/**
 * Writes the files that the stories are about into the working directory, and answers as the Hugging Face hub does: a
 * data set, and gpt2-micro under the name openai/tiny. Prints its address; ends with its standard input.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { packagePath } from "#platform";
import { sendBytes } from "../helpers/http.ts";
import { answerAsHub, answerDatasets, documentedDatasets } from "../helpers/hub-server.ts";
import { sheetData, sheetRow, workbook } from "../helpers/workbook.ts";

const read = (path: string) => readFileSync(packagePath(path), "utf8");

/** Every so many-th of the bundled messages. */
const mails = read("data/datasets/spam.csv")
  .trim()
  .split("\n")
  .slice(1)
  .filter((_, i) => i % 60 === 0)
  .map((line) => [line.slice(0, line.indexOf(",")), line.slice(line.indexOf(",") + 1).replace(/^"|"$/g, "")] as const)
  .map(([label, text]) => ({ label, text: text.replaceAll('""', "'") }));
const book = read("data/datasets/human-rights.txt").slice(0, 4000);
const csv = (head: string, rows: (string | number)[][]) =>
  `${[head, ...rows.map((cells) => cells.map((cell) => `"${cell}"`).join(","))].join("\n")}\n`;
const some = mails.slice(0, 60);

const FILES: Record<string, string | Uint8Array> = {
  "mails.csv": csv(
    "label,text",
    mails.map(({ label, text }) => [label, text]),
  ),
  "val.csv": csv(
    "label,text",
    mails.slice(0, 30).map(({ label, text }) => [label, `again: ${text}`]),
  ),
  "unlabelled.csv": csv(
    "number,text",
    some.map(({ text }, i) => [i, text]),
  ),
  "scores.csv": csv(
    "text,score",
    some.map(({ text }) => [text, text.length / 10]),
  ),
  "kinds.csv": csv(
    "text,label",
    some.map(({ label, text }, i) => [text, [label, ...(i % 3 ? ["long"] : [])].join("|")]),
  ),
  "pairs.csv": csv(
    "question,answer,label",
    some.map(({ label, text }) => ["Is it spam?", text, label === "spam" ? "yes" : "no"]),
  ),
  "review.csv": csv(
    "row,text,label,correct label",
    some.slice(0, 3).map(({ label, text }, i) => [i + 1, text, label, ["ham", "spam", "drop"][i]!]),
  ),
  "latin.csv": Buffer.from(
    `Nachricht;Bereich\n${some.map(({ label, text }, i) => `"Grüße ${i} ${text.replaceAll(/[^ -~]/g, "")}";"${label}"`).join("\n")}\n`,
    "latin1",
  ),
  "mails.jsonl": some.map((row) => JSON.stringify(row)).join("\n"),
  "mails.xlsx": workbook([
    {
      name: "mails",
      xml: sheetData(sheetRow("label", "text"), ...some.map(({ label, text }) => sheetRow(label, text))),
    },
  ]),
  "texts.parquet": new Uint8Array(
    readFileSync(packagePath("test/hub-datasets/sms_spam/plain_text/train/0000.parquet")),
  ),
  "book.txt": book,
  "chat.jsonl": some
    .map(({ text }) => ({
      messages: [
        { role: "user", content: text },
        { role: "assistant", content: "I see." },
      ],
    }))
    .map((row) => JSON.stringify(row))
    .join("\n"),
  "entities.conll": Array.from({ length: 40 }, (_, i) => {
    const [person, place] = [["Ann", "Bob", "Eve", "Max"][i % 4], ["Rome", "Bonn", "Oslo"][i % 3]];
    return `${person} B-PER\nLee I-PER\n${["went", "flew"][i % 2]} O\nto O\n${place} B-LOC\n`;
  }).join("\n"),
};

/** Rows that are wrong in one way each. */
const numbered = (of: (i: number) => string) => some.map(({ text }, i) => [text, of(i)]);
const BAD: Record<string, string | Uint8Array> = {
  "one-class.csv": csv(
    "text,label",
    numbered(() => "ham"),
  ),
  "numbers.csv": csv(
    "text,label",
    numbered((i) => String(i * 1.5)),
  ),
  "all-different.csv": csv(
    "text,label",
    numbered((i) => `label ${i}`),
  ),
  "single.csv": csv(
    "text,label",
    numbered((i) => (i === 7 ? "hma" : ["ham", "spam"][i % 2]!)),
  ),
  "no-column.csv": csv(
    "words,kind of it,n",
    some.map(({ label, text }, i) => [text, `${label} ${i % 3}`, i]),
  ),
  "one-column.csv": csv(
    "text",
    some.map(({ text }) => [text]),
  ),
  "combined.csv": csv(
    "text,label",
    numbered((i) => (i % 3 ? "billing;urgent" : ["billing", "urgent"][i % 2]!)),
  ),
  "bad-score.csv": csv(
    "text,score",
    numbered((i) => (i === 5 ? "many" : `${i},5`)),
  ),
  "same-score.csv": csv(
    "text,score",
    numbered(() => "3"),
  ),
  "flags.csv": csv(
    "text,red,blue",
    some.map(({ text }, i) => [text, i % 2, (i >> 1) % 2]),
  ),
  "doubles.csv": csv("text,label", [
    ...numbered((i) => ["a", "b"][i % 2]!),
    [some[0]!.text, "b"],
    ["", "a"],
    ["new", "rare"],
  ]),
  "fields.csv": `text,label\n${some.map(({ label }, i) => (i === 9 ? "one field" : `message ${i},${label}`)).join("\n")}\n`,
  "quote.csv": `text,label\nhello,ham\n"never closed,spam\n${"bye,ham\n".repeat(9)}`,
  "latin-bad.csv": Buffer.from(`text,label\n${"gr\u00fc\u00dfe,ham\nhello,spam\n".repeat(9)}`, "latin1"),
  "empty.csv": "",
  "page.pdf": "%PDF-1.4 not a table",
  "broken.jsonl": '{"text": "a", "label": "x"}\n{"text": "b", "label": }\n',
  "no-text.jsonl": '{"a": 1}\n{"a": 2}\n',
  "array.json": JSON.stringify(some),
  "unclosed.json": '[{"text": "a", "label": "x"}',
  "null.jsonl": '{"text": "a", "label": "x"}\n{"text": null, "label": "y"}\n',
  "broken.conll": "Ann B-PER\nLee\n\nwent O\n",
  "broken.xlsx": "PK not a workbook",
  "broken.parquet": "PAR1 not a table",
};

/** Other forms of rows. */
const people = Array.from({ length: 30 }, (_, i) => ({
  tokens: ["Ann", "Lee", `went ${i}`],
  tags: ["B-PER", "I-PER", "O"],
}));
const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const OTHERS: Record<string, string | Uint8Array> = {
  "lines.txt": "See you at noon\nFree entry, reply now\n",
  "pairs.txt": "Is it spam?\tFree entry\n",
  "tags.jsonl": lines(people),
  "prompts.jsonl": lines(some.map(({ label, text }) => ({ prompt: text, completion: ` ${label}` }))),
  "alpaca.jsonl": lines(some.map(({ label, text }) => ({ instruction: "Is it spam?", input: text, output: label }))),
  "shared.json": JSON.stringify(
    some.map(({ text }) => ({
      conversations: [
        { from: "human", value: text },
        { from: "gpt", value: "I see." },
      ],
    })),
  ),
  "table.jsonl": lines(some.map(({ label, text }) => ({ text, label }))),
  "instructions.jsonl": lines(some.map(({ label, text }) => ({ prompt: text, completion: label }))),
  "book-2.txt": book.slice(0, 1500),
  "sheets.xlsx": workbook([
    { name: "notes", xml: sheetData(sheetRow("read", "me")) },
    {
      name: "mails",
      xml: sheetData(sheetRow("label", "text"), ...some.map(({ label, text }) => sheetRow(label, text))),
    },
  ]),
  "rates.json": JSON.stringify({
    base: { epochs: 1, maxLength: 32 },
    arms: [{ rank: [2, 4], lr: { choose: [1e-3, 1e-4] } }],
  }),
  "many.csv": csv(
    "text,label",
    Array.from({ length: 180 }, (_, i) => [`topic ${i % 30} number ${i}`, `class ${i % 30}`]),
  ),
};

for (const [name, content] of Object.entries({ ...FILES, ...BAD, ...OTHERS })) writeFileSync(name, content);
for (const [i, { label, text }] of some.entries()) {
  mkdirSync(join("folder", label), { recursive: true });
  writeFileSync(join("folder", label, `${i}.txt`), text);
}
writeFileSync("rows.json", JSON.stringify({ mails: some, book: book.split("\n").filter((line) => line.length > 20) }));

const micro = packagePath("data/models/gpt2-micro");
cpSync(micro, "chat-model", { recursive: true });
cpSync(packagePath("test/golden/gguf/llama-q4_1.gguf"), "llama.gguf");
const TEMPLATE =
  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
writeFileSync("chat-model/chat_template.jinja", TEMPLATE);
const model = new Map(readdirSync(micro).map((file) => [file, new Uint8Array(readFileSync(join(micro, file)))]));
const datasets = documentedDatasets();
const server = createServer((request, response) => {
  const { port } = server.address() as AddressInfo;
  const site = /^\/site\/([\w./-]+)$/.exec(request.url!)?.[1];
  if (site !== undefined)
    return existsSync(site) ? sendBytes(request, response, readFileSync(site)) : response.writeHead(404).end();
  if (request.url!.includes("nobody")) return response.writeHead(404).end();
  const isData = /datasets|cdn\/[^/]+\/[^/]+\//.test(request.url!);
  if (isData) answerDatasets(request, response, datasets, `http://127.0.0.1:${port}`);
  else answerAsHub(request, response, model, `http://127.0.0.1:${port}`);
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.stdin.on("end", () => process.exit()).resume();
