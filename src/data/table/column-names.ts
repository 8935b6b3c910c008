/** The usual names of the columns of text and label. */
import { show } from "../../checks.ts";
import type { Pair } from "../../pair.ts";

/** Common names. Case, surrounding white space, and the signs between words are ignored. */
export const TEXT_NAMES = [
  ...["text", "message", "sms", "content", "body", "v2", "sentence", "review", "comment", "tweet", "post", "email"],
  ...["question", "query", "utterance", "message text", "review text", "comment text"],
];
/** Names of the columns of two texts whose relation is the label: those of data sets on the hub, and of other languages. */
export const PAIR_NAMES: readonly Pair[] = [
  ["sentence1", "sentence2"],
  ["premise", "hypothesis"],
  ["question", "answer"],
  ["question1", "question2"],
  ["text a", "text b"],
  ["text1", "text2"],
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
