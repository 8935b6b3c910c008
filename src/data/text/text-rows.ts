/** The rows of texts for a language model: objects of JSON lines, and the keys of their texts. */
import { isObject, lookUp } from "../../core/checks.ts";
import { DataError, FormatError, nameList } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { WRITTEN } from "../table/column-names.ts";
import { findUsual } from "../table/columns.ts";

export type Row = Record<string, unknown>;
/** The key of a text or of the messages of a chat, or those of a prompt and its completion, last the prompt's input. */
export type Keys = [string] | [string, string] | [string, string, string];

export interface Located {
  row: Row;
  where: string;
}

/** The objects of JSON lines or of a JSON array, with their places. */
export function* parseRows(text: string, file: string): Generator<Located> {
  if (text.trimStart().startsWith("[")) {
    const items = parse(text, file, "The file is not a JSON array") as unknown[];
    for (const [i, item] of items.entries())
      yield { row: checkRow(item, `${file}, item ${i + 1}`), where: `${file}, item ${i + 1}` };
    return;
  }
  for (const [i, line] of text.split("\n").entries()) {
    const where = `${file}:${i + 1}`;
    if (line.trim() !== "") yield { row: checkRow(parse(line, where, "The line is not JSON"), where), where };
  }
}

function parse(text: string, where: string, summary: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError("invalid-json", summary, { where, found: (cause as Error).message, cause });
  }
}

export function checkRow(value: unknown, where: string, expected = '{"text": "..."}'): Row {
  if (isObject(value)) return value;
  throw new FormatError("row-not-json-object", "The row is not an object", {
    where,
    expected,
    found: nameKind(value),
  });
}

/** The usual keys of chats: the hub's, and ShareGPT's. */
export const CHATS = ["messages", "conversations"];

export function findTextKeys(names: string[], asked: string | undefined, where: string): Keys {
  if (asked !== undefined) return [asked];
  const written = WRITTEN.find(([first, second]) => names.includes(first) && names.includes(second));
  if (written) return [...written];
  const chat = CHATS.find((name) => names.includes(name));
  if (chat !== undefined) return [chat];
  const found = findUsual(names, "text", -1, where);
  if (found >= 0) return [names[found]!];
  throw new DataError("column-not-recognized", "No key is recognized as the text", {
    where,
    expected: `the key "text", "prompt" and "completion", "instruction" and "output", or "${CHATS.join('" or "')}"`,
    found: nameList(names),
    hint: `call the key "text", or name it with ${setting("textColumn")}`,
  });
}

export function rowText(row: Row, key: string, where: string): string {
  const value = valueAt(row, key);
  if (typeof value === "string") return value;
  throw new DataError("value-not-text", `"${key}" is not a string`, {
    where,
    expected: "a string",
    found: value === undefined ? `no such key among ${nameList(Object.keys(row))}` : nameKind(value),
  });
}

/** The value of a key, or of a path to a nested one: `message.body`. */
export function valueAt(row: Row, key: string): unknown {
  if (Object.hasOwn(row, key)) return row[key];
  for (let dot = key.indexOf("."); dot >= 0; dot = key.indexOf(".", dot + 1)) {
    const inner = row[key.slice(0, dot)];
    const value = isObject(inner) ? valueAt(inner, key.slice(dot + 1)) : undefined;
    if (value !== undefined) return value;
  }
  return undefined;
}

/** The roles in the chats of ShareGPT. */
const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bot: "assistant",
};

/** A message as `{ role, content }`, also one of ShareGPT's, `{ from, value }`; anything else as it is. */
export function messageOf(message: unknown): unknown {
  if (!isObject(message) || !("from" in message) || "role" in message) return message;
  const { from, value } = message;
  return { role: typeof from === "string" ? (lookUp(ROLES, from) ?? from) : from, content: value };
}

/** Describes a value without serializing it: it may be nested too deeply. */
export function nameKind(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
