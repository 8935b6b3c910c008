/** Reads the vocabulary of a model from its tokenizer's files. */
import { exists, joinPath, readBytes } from "#platform";
import { checkKinds, isListOf, isText, show, withoutNulls } from "../../core/checks.ts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import { checkCount, LIMITS, parseJson } from "../limits.ts";
import { asTokenIds, type Json, refuse } from "./steps.ts";
import { type Content, checkAdded, fromFast, type Listed, refusePrefixSpace } from "./tokenizer-json.ts";
import { CHAT_TEMPLATE, OTHER_TOKENIZERS, TOKENIZER_FILES } from "./tokenizer-names.ts";
import { type ChatTemplate, checkFingerprint, checkSize, GPT2_VOCABULARY, type Vocabulary } from "./vocabulary.ts";
import { type AddedToken, makeVocabulary } from "./vocabulary-tables.ts";

/** A model's config.json, as far as it is about tokens. */
export interface TokenConfig {
  vocab_size: number;
  eos_token_id?: unknown;
  bos_token_id?: unknown;
}

/**
 * The vocabulary in a directory: of tokenizer.json, or else of vocab.json and merges.txt; GPT-2's if it has none.
 * `config` is the model's; null: any. Throws ConfigError for a tokenizer of another kind, FormatError for damaged
 * files.
 */
export async function readVocabulary(directory: string, config: TokenConfig | null): Promise<Vocabulary> {
  for (const key of ["eos_token_id", "bos_token_id"] as const)
    for (const id of [config?.[key] ?? []].flat())
      checkKinds({ [key]: id }, { [key]: "count" }, joinPath(directory, "config.json"));
  const { listed, settings, named } = await readTokens(directory);
  if (listed === null && config !== null && config.vocab_size > GPT2_VOCABULARY.size + MOST_PADDING)
    refuseMissing(directory, config);
  const vocabulary = listed === null ? GPT2_VOCABULARY : await listedVocabulary(listed, settings, named, config);
  if (listed !== null && config !== null) checkSize(vocabulary, config, listed.where);
  const chat = await readChat(directory, settings, named);
  return chat === null ? vocabulary : { ...vocabulary, chat };
}

/** The tokens of a directory's files; `listed` is null where there are none of a vocabulary. Throws as above. */
async function readTokens(
  directory: string,
): Promise<{ listed: Listed | null; settings: Json | undefined; named: Json }> {
  const read = (file: (typeof TOKENIZER_FILES)[number]) => readObject(joinPath(directory, file));
  const readNamed = async (file: "tokenizer_config.json" | "special_tokens_map.json") => {
    const json = await read(file);
    return json && checkNamed(withoutNulls(json), joinPath(directory, file));
  };
  const settings = await readNamed("tokenizer_config.json");
  const fast = await read("tokenizer.json");
  const listed = fast
    ? await fromFast(fast, joinPath(directory, "tokenizer.json"))
    : await fromLists(directory, read, settings?.tokenizer_class);
  if (settings) checkSettings(settings, listed, joinPath(directory, "tokenizer_config.json"));
  return { listed, settings, named: { ...(await readNamed("special_tokens_map.json")), ...settings } };
}

/** The tokens in a directory's files, with all that were added, and the texts of those that are named: `eos_token`. */
export async function listTokens(
  directory: string,
  config: TokenConfig,
): Promise<{ listed: Listed; added: AddedToken[]; named: Record<string, string> } | null> {
  const { listed, settings, named } = await readTokens(directory);
  return listed && { listed, added: listAdded(listed, settings, named, config), named: namedTexts(named) };
}

/** The vocabulary of listed tokens, with those that the settings and the model's config name. */
export function listedVocabulary(
  listed: Listed,
  settings: Json | undefined,
  named: Json,
  config: TokenConfig | null,
): Promise<Vocabulary> {
  const added = listAdded(listed, settings, named, config);
  return makeVocabulary({ ...listed, added, end: findEndToken(named, config, listed, added) }, listed.where);
}

/** The chat template: of a file of its own, or of the tokenizer's settings, which may have several with names. */
async function readChat(directory: string, settings: Json | undefined, named: Json): Promise<ChatTemplate | null> {
  const path = joinPath(directory, CHAT_TEMPLATE);
  const templateFile = (await exists(path)) ? new TextDecoder().decode(await readBytes(path, LIMITS.json)) : undefined;
  const { chat_template: given = [] } = settings ?? {};
  const templates = isText(given) ? [{ name: "default", template: given }] : (given as Record<string, string>[]);
  const where = joinPath(directory, "tokenizer_config.json");
  checkKinds({ chat_template: templates }, { chat_template: "objects" }, where);
  for (const template of templates) checkKinds(template, { name: "text", template: "text" }, where);
  const template = templateFile ?? templates.find(({ name }) => name === "default")?.template;
  return template === undefined ? null : { template, tokens: namedTexts(named) };
}

interface CheckedBase {
  directory: string;
  config: TokenConfig;
  vocabulary: Vocabulary;
}

/**
 * Throws ConfigError if the directory of an adapter, which was trained on `named`, has a tokenizer that gives other ids
 * than the base model's.
 */
export async function checkSameVocabulary(directory: string, base: CheckedBase, named: string): Promise<void> {
  let isThere = false;
  for (const file of [...TOKENIZER_FILES, ...Object.keys(OTHER_TOKENIZERS)])
    isThere ||= await exists(joinPath(directory, file));
  if (!isThere) return;
  const { fingerprint } = await readVocabulary(directory, base.config);
  const where = `${directory}, of ${named || "a model"}, with ${base.directory}`;
  checkFingerprint(where, base.vocabulary.fingerprint, fingerprint);
}

/** Rows of a token table beyond GPT-2's tokens that are taken for padding. */
const MOST_PADDING = 1024;

function refuseMissing(where: string, { vocab_size }: TokenConfig): never {
  throw new ConfigError(
    "missing-tokenizer-files",
    "the model has no files of a tokenizer, and more tokens than GPT-2",
    {
      where,
      expected: `tokenizer.json, or vocab.json and merges.txt; without them GPT-2's ${GPT2_VOCABULARY.size} tokens`,
      found: `vocab_size ${vocab_size} in config.json`,
      hint: "copy the files of the model's tokenizer into its directory",
    },
  );
}

/** The most commas of a file: a vocabulary of pairs, and its settings. */
const COMMAS = 5 * LIMITS.vocabulary;

async function readObject(path: string): Promise<Json | undefined> {
  if (!(await exists(path))) return undefined;
  const json = parseJson(await readBytes(path, LIMITS.tokenizer), path, "not a JSON file", COMMAS);
  checkKinds({ json }, { json: "object" }, path);
  return json as Json;
}

const REWRITE = "transformers writes it: AutoTokenizer.from_pretrained(directory).save_pretrained(directory)";

/** The parts of vocab.json and merges.txt; null if there are no files of a vocabulary. */
async function fromLists(
  directory: string,
  read: (file: "vocab.json" | "added_tokens.json") => Promise<Json | undefined>,
  tokenizerClass: unknown,
): Promise<Listed | null> {
  const path = (file: string) => joinPath(directory, file);
  const vocab = await read("vocab.json");
  const hasMerges = await exists(path("merges.txt"));
  if (vocab && hasMerges) {
    const merges = splitMerges(await readBytes(path("merges.txt"), LIMITS.tokenizer), path("merges.txt"));
    // Files of older versions: the tokens that were added, in the letters of their text.
    const later = Object.entries((await read("added_tokens.json")) ?? {});
    const added = later.map(([content, id]) => ({ content, id: id as number }));
    // The class of the settings says how texts are split.
    const isQwen2 = tokenizerClass === "Qwen2Tokenizer" || tokenizerClass === "Qwen2TokenizerFast";
    return {
      tokens: asTokenIds(vocab),
      merges,
      added,
      pretokenizer: isQwen2 ? "qwen2" : "gpt-2",
      normalizes: isQwen2,
      ignoresMerges: false,
      begin: null,
      where: path("vocab.json"),
    };
  }
  if (vocab || hasMerges)
    throw new FormatError("missing-tokenizer-files", `the model has no ${vocab ? "merges.txt" : "vocab.json"}`, {
      where: directory,
      expected: "vocab.json and merges.txt, or tokenizer.json",
    });
  for (const [file, kind] of Object.entries(OTHER_TOKENIZERS))
    if (await exists(path(file))) refuse(directory, "tokenizer.json", `${kind}'s ${file} alone`, REWRITE);
  return null;
}

/** The lines of a merges.txt, without the version in its first line. */
function splitMerges(bytes: Uint8Array, where: string): string[] {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  if (count > LIMITS.vocabulary)
    throw new FormatError("invalid-merges", "the file has too many merges", {
      where,
      expected: `at most ${LIMITS.vocabulary} lines`,
    });
  const lines = new TextDecoder().decode(bytes).split(/\r?\n/);
  return lines.filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
}

/**
 * Checks a tokenizer_config.json, the settings of transformers. They must not change what the vocabulary's file says.
 */
function checkSettings(json: Json, listed: Listed | null, where: string): void {
  const kinds = { add_prefix_space: "boolean?", added_tokens_decoder: "object?", tokenizer_class: "text?" } as const;
  checkKinds(json, kinds, where);
  if (json.add_prefix_space === true && !listed?.model) refusePrefixSpace(where, "true");
  const adds = { add_bos_token: listed !== null && listed.begin !== null, add_eos_token: listed?.close !== undefined };
  for (const [key, is] of Object.entries(adds))
    if ((json[key] ?? is) !== is) refuse(where, `${key} = ${is}, as the tokenizer does`, show(json[key]));
  for (const [id, token] of Object.entries(json.added_tokens_decoder ?? {})) {
    checkKinds({ [id]: token }, { [id]: "object" }, where);
    checkAdded({ ...(token as object), id: Number(id) }, where);
  }
}

/** The settings that name special tokens. */
const NAMES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => `${name}_token`);

/** Throws FormatError unless what names special tokens is a text, or an object with one. Returns it. */
function checkNamed(json: Json, where: string): Json {
  const { additional_special_tokens: others = [] } = json;
  const check = (name: string, token: unknown) =>
    checkKinds({ [name]: namedTokenText(token) }, { [name]: "text" }, where);
  for (const name of NAMES) check(name, json[name] ?? "");
  for (const token of Array.isArray(others) ? others : [null]) check("additional_special_tokens", token);
  return json;
}

export function namedTexts(named: Json): Record<string, string> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const text = namedTokenText(named[name]);
      return text === undefined ? [] : [[name, text]];
    }),
  );
}

/** The text of a named token: a string, or an object. */
function namedTokenText(named: unknown): string | undefined {
  return isText(named) ? named : (named as Content | undefined)?.content;
}

/**
 * All added tokens: those listed with the vocabulary and in tokenizer_config.json, and the named ones of the
 * vocabulary. Special ones that the model has no row for are left out: no text contains them.
 */
function listAdded(
  { tokens, added, where }: Listed,
  settings: Json | undefined,
  named: Json,
  config: TokenConfig | null,
): AddedToken[] {
  const all = new Map<string, AddedToken>();
  const additional = (named.additional_special_tokens ?? []) as unknown[];
  const special = [...NAMES.map((name) => named[name]), ...additional, GPT2_VOCABULARY.end.text].map(namedTokenText);
  const add = (token: Content & { id: number }) => {
    if (token.content === "" || all.has(token.content)) return;
    const isSpecial = token.special ?? special.includes(token.content);
    const { lstrip = false, rstrip = false, single_word = false, normalized = !isSpecial } = token;
    if (isSpecial && config !== null && token.id >= config.vocab_size) return;
    const { content, id } = token;
    all.set(content, { id, content, special: isSpecial, lstrip, rstrip, single_word, normalized });
  };
  for (const token of added) add(token as Content & { id: number });
  for (const [id, token] of Object.entries((settings?.added_tokens_decoder ?? {}) as Json))
    add({ ...(token as Content), id: Number(id) });
  for (const content of special) {
    const id = content === undefined ? undefined : tokens[content];
    if (id !== undefined) add({ content: content!, id, special: true });
  }
  checkCount(all.size, LIMITS.addedTokens, "added tokens", where);
  return [...all.values()];
}

/**
 * The token that ends a text: the one behind every text, the tokenizer's `eos_token`, the model's `eos_token_id`,
 * <|endoftext|>, or the token that begins a text. Some configs are copies of GPT-2's, whose 50256 is a word here: an id
 * counts only if no merge makes its token. Throws ConfigError if there is none.
 */
function findEndToken(
  named: Json,
  config: TokenConfig | null,
  { tokens, merges, close, where }: Listed,
  added: readonly AddedToken[],
): Vocabulary["end"] {
  if (close) return close;
  const byText = (text: string | undefined) => {
    if (text === undefined) return undefined;
    const id = added.find(({ content }) => content === text)?.id ?? tokens[text];
    return id === undefined ? undefined : { id, text };
  };
  const byId = (given: unknown) => {
    const id = Array.isArray(given) ? given[0] : given;
    if (typeof id !== "number") return undefined;
    const known = added.find((token) => token.id === id)?.content;
    if (known !== undefined) return { id, text: known };
    const text = Object.keys(tokens).find((token) => tokens[token] === id) ?? "";
    const isMade = (pair: unknown) =>
      (isListOf(pair, isText) ? pair.join("") : isText(pair) ? pair.replace(" ", "") : null) === text;
    return text.length < 2 || merges.some(isMade) ? undefined : { id, text };
  };
  const found =
    byText(namedTokenText(named.eos_token)) ??
    byId(config?.eos_token_id) ??
    byText(GPT2_VOCABULARY.end.text) ??
    byText(namedTokenText(named.bos_token)) ??
    byId(config?.bos_token_id);
  if (found) return found;
  throw new ConfigError("no-end-token", "the model has no token that ends a text", {
    where,
    expected: "eos_token in tokenizer_config.json, of a token of the vocabulary",
    found: `eos_token ${show(named.eos_token)}, eos_token_id ${show(config?.eos_token_id)}`,
    hint: 'name a token that does not occur in texts: {"eos_token": "<|endoftext|>"}',
  });
}
