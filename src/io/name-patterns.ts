/**
 * Matches the names and patterns of adapter_config.json against module names, as PEFT does. Patterns of the form that
 * PEFT writes (letters, digits, `_`, `-`, `.` for any character, and a leading `^`) are looked up; any other pattern is
 * a regular expression of `expression.ts`.
 */
import { ConfigError } from "../errors.ts";
import { type Effort, Expression, ExpressionError, spend } from "./expression.ts";

/** The file's setting, named in errors. */
interface Place {
  setting: string;
  where: string;
}

/** Runs `body` for a pattern of a file. Throws ConfigError if the pattern is not supported, or takes too long. */
function attempt<T>(pattern: string, { setting, where }: Place, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (!(cause instanceof ExpressionError)) throw cause;
    throw new ConfigError("unsupported-pattern", `unsupported regular expression in ${setting}: ${cause.message}`, {
      where,
      expected: "names, or a Python regular expression without lookaround and backreferences",
      found: pattern,
      hint: `write ${setting} as a list of names, such as attn.c_attn or transformer.h.3.mlp.c_fc`,
      cause,
    });
  }
}

/** `re.fullmatch(pattern, name)`. */
export function wholeName(pattern: string, place: Place, effort: Effort): (name: string) => boolean {
  const expression = attempt(pattern, place, () => new Expression(pattern, effort));
  return (name) => attempt(pattern, place, () => expression.matchesAll(name));
}

/** Matches a whole name, or the part after one of its dots. */
export function suffixes(names: readonly string[]): (name: string) => boolean {
  const all = new Set(names);
  return (name) => starts(name).some((start) => all.has(name.slice(start)));
}

/** Matches any end of a name, with or without a dot before it. */
export function endings(names: readonly string[]): (name: string) => boolean {
  const all = new Set(names);
  return (name) => Array.from({ length: name.length + 1 }, (_, at) => name.slice(at)).some((end) => all.has(end));
}

/** PEFT's get_pattern_key: the first key that matches a whole name, or the part after one of its dots. */
export function firstKey(keys: readonly string[], place: Place, effort: Effort): (name: string) => string | undefined {
  return patternFinder(keys, place, effort, {
    around: (key) => `(.*\\.)?(${key})$`,
    parts: (name) => [`^${name}`, ...starts(name).map((start) => name.slice(start))],
  });
}

/** PEFT's test for modules_to_save: whether some consecutive parts of a name match one of them. */
export function anyPart(names: readonly string[], place: Place, effort: Effort): (name: string) => boolean {
  const first = patternFinder(names, place, effort, {
    around: (one) => `(^|.*\\.)${one}($|\\..*)`,
    parts: (name) => [
      ...ends(name, 0).map((end) => `^${name.slice(0, end)}`),
      ...starts(name).flatMap((start) => ends(name, start).map((end) => name.slice(start, end))),
    ],
  });
  return (name) => first(name) !== undefined;
}

/** The index of the block that a module is in, by the first pattern that matches its name; undefined if none does. */
export function layerFinder(
  patterns: readonly string[],
  place: Place,
  effort: Effort,
): (name: string) => number | undefined {
  // These are PEFT's own expressions.
  const sources =
    patterns.length > 0
      ? patterns.map((pattern) => [pattern, `(?:^|.*?\\.)${pattern}\\.(?P<idx>\\d+)\\.`] as const)
      : [["", ".*?\\.[^.]*\\.(?P<idx>\\d+)\\."] as const];
  const matchers = sources.map(([pattern, source]) => {
    const expression = attempt(pattern, place, () => new Expression(source, effort));
    return (name: string) => attempt(pattern, place, () => expression.match(name));
  });
  return (name) => {
    for (const match of matchers) {
      const index = match(name);
      if (index !== undefined) return index === "" ? undefined : Number(index);
    }
    return undefined;
  };
}

/** How PEFT searches for a pattern: its regular expression, and the parts of a name that a plain pattern can match. */
interface Search {
  around: (pattern: string) => string;
  parts: (name: string) => string[];
}

/** Plain patterns with equal length and dots at the same positions, and the rank of each in the list. */
interface Alike {
  dots: number[];
  orders: Map<string, number>;
}

/** The first pattern that matches a name. */
function patternFinder(
  patterns: readonly string[],
  place: Place,
  effort: Effort,
  { around, parts }: Search,
): (name: string) => string | undefined {
  const plain = groupAlike(patterns);
  const others = [...patterns.entries()]
    .filter(([, pattern]) => !isPlain(pattern))
    .map(([order, pattern]) => {
      const expression = attempt(pattern, place, () => new Expression(around(pattern), effort));
      return { order, hits: (name: string) => attempt(pattern, place, () => expression.match(name)) !== undefined };
    });
  return (name) => {
    let best = patterns.length;
    for (const part of parts(name))
      for (const { dots, orders } of plain.get(part.length) ?? []) {
        attempt(name, place, () => spend(effort));
        best = Math.min(best, orders.get(withDots(part, dots)) ?? best);
      }
    return patterns[others.find(({ order, hits }) => order < best && hits(name))?.order ?? best];
  };
}

/** Longest module name: a longer pattern matches none. */
const LONGEST_NAME = 1000;

/** Whether a pattern is looked up: it needs no regular expression. */
export const isPlain = (pattern: string) => /^\^?[\w.-]*$/.test(pattern);

/** The plain patterns, grouped by length. */
function groupAlike(patterns: readonly string[]): Map<number, Alike[]> {
  const groups = new Map<string, Alike>();
  const lengths = new Map<number, Alike[]>();
  for (const [order, pattern] of patterns.entries()) {
    if (pattern.length > LONGEST_NAME || !isPlain(pattern)) continue;
    const dots = starts(pattern).flatMap((start) => (start > 0 ? [start - 1] : []));
    const form = `${pattern.length}: ${dots}`;
    const group = groups.get(form) ?? { dots, orders: new Map() };
    if (!groups.has(form)) {
      groups.set(form, group);
      if (lengths.has(pattern.length)) lengths.get(pattern.length)!.push(group);
      else lengths.set(pattern.length, [group]);
    }
    if (!group.orders.has(pattern)) group.orders.set(pattern, order);
  }
  return lengths;
}

/** Replaces the characters at these positions by dots. A dot of a pattern does not match the `^`. */
function withDots(part: string, dots: readonly number[]): string {
  let masked = part;
  for (const at of dots)
    if (part[at] !== "." && part[at] !== "^") masked = `${masked.slice(0, at)}.${masked.slice(at + 1)}`;
  return masked;
}

/** The offsets where a name's parts begin: 0 and after every dot. */
function starts(name: string): number[] {
  const found = [0];
  for (let at = name.indexOf("."); at >= 0; at = name.indexOf(".", at + 1)) found.push(at + 1);
  return found;
}

/** The offsets where the parts that begin at `start` end: before every later dot, and at the end of the name. */
function ends(name: string, start: number): number[] {
  const found: number[] = [];
  for (let at = name.indexOf(".", start); at >= 0; at = name.indexOf(".", at + 1)) found.push(at);
  return [...found, name.length];
}
