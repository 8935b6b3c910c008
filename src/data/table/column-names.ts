/** The usual names of the columns of text and label. */
import { show } from "../../core/checks.ts";
import type { Pair } from "../../core/pair.ts";

/** Common names. Case, surrounding white space, and the signs between words are ignored. */
export const TEXT_NAMES = [
  ...["text", "message", "sms", "content", "body", "v2", "sentence", "review", "comment", "tweet", "post", "email"],
  ...["question", "query", "utterance", "message text", "review text", "comment text"],
];
/** Kinds of texts of which a row has two: "sentence1" and "sentence2", "text a" and "text b". */
const NUMBERED = ["sentence", ...TEXT_NAMES.filter((name) => name !== "sentence"), "title", "frage", "satz", "phrase"];

/** Names of the columns of two texts whose relation is the label: those of data sets on the hub, and of other languages. */
export const PAIR_NAMES: readonly Pair[] = [
  ...NUMBERED.flatMap((name): Pair[] => [
    [`${name}1`, `${name}2`],
    [`${name} 1`, `${name} 2`],
    [`${name} a`, `${name} b`],
  ]),
  ["premise", "hypothesis"],
  ["question", "answer"],
  ["query", "document"],
  ["query", "passage"],
  ["frage", "antwort"],
  ["question", "reponse"],
  ["pregunta", "respuesta"],
];
const LABEL_NAMES = [
  ...["label", "class", "category", "target", "v1", "spam", "is spam", "topic", "sentiment", "emotion", "intent"],
];
export const USUAL = { text: TEXT_NAMES, label: LABEL_NAMES } as const;

export const isUsual = (name: string, kind: "text" | "label"): boolean =>
  (USUAL[kind] as readonly string[]).includes(usualName(name));

/** A name without case and what separates its words. */
export function plain(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s_-]+/g, " ");
}

/** The same without accents and other signs: "Catégorie ?" is "categorie". */
export function usualName(name: string): string {
  const letters = name.normalize("NFD").replace(/[\u0300-\u036f]/g, "");
  return plain(letters.replace(/[^\p{L}\p{M}\p{N}]+/gu, " "));
}

type Names = readonly string[];
const sayColumns = (names: Names, why: string | null) =>
  `${names.length > 1 ? "columns" : "column"} ${names.map(show).join(" and ")} (${why ?? "by name"})`;

/** Which columns were chosen, and why, unless their names say it. */
export const sayChosen = (texts: Names, textWhy: string | null, labels: Names, labelWhy: string | null) =>
  `text: ${sayColumns(texts, textWhy)}, label: ${sayColumns(labels, labelWhy)}`;

/** The keys of what is written on after a text; those of Alpaca's rows, not all of which have an input. */
export const WRITTEN = [
  ["prompt", "completion"],
  ["instruction", "output", "input"],
] as const;

/** The words for each set, as names of folders and in a column. */
export const SETS = {
  train: ["train", "training"],
  val: ["val", "valid", "validation", "dev"],
  test: ["test"],
};

/** The set that a word stands for; undefined: it stands for none. */
export const setNamed = (word: string) =>
  Object.entries(SETS).find(([, words]) => words.includes(word.trim().toLowerCase()))?.[0];

const SET_COLUMNS = ["split", "set", "subset", "partition"];

/** Whether a column says which set each row is of. */
export function isSetColumn(name: string, values: readonly string[]): boolean {
  if (!SET_COLUMNS.includes(usualName(name))) return false;
  const sets = new Set(values.map(setNamed));
  return sets.size > 1 && sets.has("train") && !sets.has(undefined);
}

export const findSetColumn = ({ names, rows }: { names: Names; rows: readonly Names[] }) =>
  names.find((name, i) =>
    isSetColumn(
      name,
      rows.map((row) => row[i] ?? ""),
    ),
  );
