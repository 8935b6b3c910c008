/**
 * Writes the files that the stories are about into the working directory, and answers as the Hugging Face hub does: a
 * data set, and gpt2-micro under the name openai/tiny. Prints its address; ends with its standard input.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { packagePath } from "#platform";
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

for (const [name, content] of Object.entries(FILES)) writeFileSync(name, content);
for (const [i, { label, text }] of some.entries()) {
  mkdirSync(join("folder", label), { recursive: true });
  writeFileSync(join("folder", label, `${i}.txt`), text);
}
writeFileSync("rows.json", JSON.stringify({ mails: some, book: book.split("\n").filter((line) => line.length > 20) }));

const micro = packagePath("data/models/gpt2-micro");
cpSync(micro, "chat-model", { recursive: true });
const TEMPLATE =
  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
writeFileSync("chat-model/chat_template.jinja", TEMPLATE);
const model = new Map(readdirSync(micro).map((file) => [file, new Uint8Array(readFileSync(join(micro, file)))]));
const datasets = documentedDatasets();
const server = createServer((request, response) => {
  const { port } = server.address() as AddressInfo;
  const isData = /datasets|cdn\/[^/]+\/[^/]+\//.test(request.url!);
  if (isData) answerDatasets(request, response, datasets, `http://127.0.0.1:${port}`);
  else answerAsHub(request, response, model, `http://127.0.0.1:${port}`);
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.stdin.on("end", () => process.exit()).resume();
