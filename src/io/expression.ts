/**
 * Python regular expressions from untrusted files, matched in linear time by RE2, which is loaded only for them. Throws
 * ExpressionError for what the two read differently, and for what RE2 lacks. Texts are module names: ASCII, without
 * line ends.
 */
import type { RE2JS } from "re2js";
import { LIMITS } from "./limits.ts";

/** The reason why an expression is not supported, or too expensive. */
export class ExpressionError extends Error {}

/** The matcher and the remaining budget for the patterns of one file. */
export interface Effort {
  /** Undefined if the file has no regular expression. */
  RE2?: typeof RE2JS;
  /** Characters of the expressions, and what they contain when counted repetitions are written out. */
  size: number;
  /** Instructions of an expression times characters of a name; one for a plain pattern. */
  steps: number;
}

/** The budget for the patterns of one file; `expressions`: whether some of them are regular expressions. */
export async function newEffort(expressions: boolean): Promise<Effort> {
  const budget = { size: LIMITS.expressionSize, steps: LIMITS.expressionSteps };
  return expressions ? { RE2: (await import("re2js")).RE2JS, ...budget } : budget;
}

/** Takes steps from the budget. */
export function spend(effort: Effort, steps = 1): void {
  effort.steps -= steps;
  if (effort.steps < 0) throw new ExpressionError("the expressions take too long to match");
}

/** An escape, a set, the beginning of a group, a repetition, or another character. */
const TOKENS =
  /\\[\s\S]?|\[\^?\]?(?:\\[\s\S]|[^\\\]])*\]?|\((?:\?(?:P<[a-zA-Z_]\w*>|:)?)?|\{[\d,]*\}|[*+?][?+]?|[\s\S]/g;
const REPETITION = /^(?:[*+?]|\{(?:\d+(?:,\d*)?|,\d*)\}$)/;
const ASSERTIONS = ["^", "$", "\\A", "\\Z", "\\b", "\\B"];

/** A Python expression in RE2's syntax. */
function translate(source: string, effort: Effort): string {
  takeSize(effort, source.length);
  if (/[^\0-\x7f]/.test(source)) throw new ExpressionError("a character that is not ASCII");
  const flags = source.startsWith("(?i)") ? "(?i)" : "";
  const tokens = source.slice(flags.length).match(TOKENS) ?? [];
  takeSize(effort, expandedSize(tokens));
  return flags + tokens.map((token, i) => translateToken(token, tokens[i - 1])).join("");
}

function takeSize(effort: Effort, size: number): void {
  effort.size -= size;
  if (effort.size < 0) throw new ExpressionError("the expressions are too large");
}

/** The number of tokens if counted repetitions, which RE2 copies, are written out. */
function expandedSize(tokens: readonly string[]): number {
  const open: number[] = [];
  // Up to the current token, and before the last character or group.
  let [size, last] = [0, 0];
  for (const token of tokens) {
    if (REPETITION.test(token)) {
      const most = Math.max(1, ...(token.match(/\d+/g) ?? []).map(Number));
      size += (most - 1) * (size - last);
    } else if (token === ")") last = open.pop() ?? 0;
    else {
      last = size;
      if (token.startsWith("(")) open.push(size);
    }
    size++;
  }
  return size;
}

function translateToken(token: string, before: string | undefined): string {
  if (REPETITION.test(token)) {
    if (before !== undefined && ASSERTIONS.includes(before)) throw new ExpressionError("nothing to repeat");
    if (/^[*+?]\+$/.test(token)) throw new ExpressionError("possessive repetition is not supported");
    return token.replace("{,", "{0,");
  }
  // Any other brace stands for itself.
  if (token.startsWith("{")) return `\\${token}`;
  if (token === "(?")
    throw new ExpressionError("the only supported groups with (? are (?:, (?P<name> and, at the start, (?i)");
  if (token === "\\Z") return "\\z";
  if (token.startsWith("[")) return checkSet(token);
  if (!ASSERTIONS.includes(token)) checkEscapes(token);
  return token;
}

/** A set of characters that both engines read alike. */
function checkSet(set: string): string {
  checkEscapes(set);
  if (set.includes("[:")) throw new ExpressionError("a class such as [:alpha:] is not supported");
  if (/\\[dDwWsS]-[^\]]/.test(set)) throw new ExpressionError("a range that contains a class");
  return set;
}

function checkEscapes(text: string): void {
  const unknown = text.match(/\\[\s\S]/g)?.find((pair) => /[a-zA-Z0-9]/.test(pair) && !/[dDwWsS]/.test(pair));
  if (unknown !== undefined) throw new ExpressionError(`${unknown} is not supported`);
}

/** The group that `match` gives. */
const INDEX = "idx";

export class Expression {
  readonly #effort: Effort;
  readonly #program: RE2JS;

  /** Throws ExpressionError if `source` is not supported, or too large. */
  constructor(source: string, effort: Effort) {
    this.#effort = effort;
    const translated = translate(source, effort);
    try {
      this.#program = effort.RE2!.compile(translated);
    } catch (cause) {
      const [, reason] = /^error parsing regexp: (.*?)(?::? `|$)/s.exec((cause as Error).message) ?? [];
      if (reason === undefined) throw cause;
      throw new ExpressionError(reason, { cause });
    }
  }

  /** Python's `re.fullmatch`. */
  matchesAll(text: string): boolean {
    this.#spend(text);
    return this.#program.testExact(text);
  }

  /** Python's `re.match`: the group `idx`, "" if it did not take part in the match; undefined if there is no match. */
  match(text: string): string | undefined {
    this.#spend(text);
    const matcher = this.#program.matcher(text);
    if (!matcher.lookingAt()) return undefined;
    return INDEX in this.#program.namedGroups() ? (matcher.group(INDEX) ?? "") : "";
  }

  #spend(text: string): void {
    spend(this.#effort, this.#program.programSize() * (text.length + 1));
  }
}
