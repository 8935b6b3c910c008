/** Matches the names and patterns of adapter_config.json against module names, as PEFT does. */
import { Expression, type PatternPlace } from "./expression.ts";

/** `re.fullmatch(pattern, name)`. */
export function wholeName(pattern: string, place: PatternPlace): (name: string) => boolean {
  const expression = new Expression(pattern, place);
  return (name) => expression.ends(name, [0]).includes(name.length);
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

/**
 * PEFT's get_pattern_key: the first key that matches a whole name, or the part after one of its dots.
 * `re.match(rf"(.*\.)?({key})$", name)`.
 */
export function firstKey(keys: readonly string[], place: PatternPlace): (name: string) => string | undefined {
  const expressions = keys.map((key) => new Expression(key, place));
  return (name) => {
    const from = starts(name);
    return keys[expressions.findIndex(({ ends }) => ends(name, from).includes(name.length))];
  };
}

/**
 * PEFT's test for modules_to_save: whether some consecutive parts of a name match one of them.
 * `re.match(rf"(^|.*\.){pattern}($|\..*)", name)`.
 */
export function anyPart(patterns: readonly string[], place: PatternPlace): (name: string) => boolean {
  const expressions = patterns.map((pattern) => part(pattern, place));
  return (name) => {
    const from = starts(name);
    return expressions.some(({ ends }) => ends(name, from).some((end) => end === name.length || name[end] === "."));
  };
}

/**
 * The index of the block that a module is in, if one of the patterns matches what is before it; undefined if none does.
 * `re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", name)`; no name has two numbers.
 */
export function layerFinder(patterns: readonly string[], place: PatternPlace): (name: string) => number | undefined {
  const expressions = patterns.map((pattern) => part(pattern, place));
  return (name) => {
    const number = /\.(\d+)\./.exec(name);
    if (!number) return undefined;
    const from = starts(name);
    // Without patterns any word is enough, but it has one before it.
    const isBlock =
      patterns.length > 0
        ? expressions.some(({ ends }) => ends(name, from).includes(number.index))
        : from[1]! <= number.index;
    return isBlock ? Number(number[1]) : undefined;
  };
}

/** An expression that PEFT puts between others: alternatives would be those of all. */
function part(pattern: string, place: PatternPlace): Expression {
  const expression = new Expression(pattern, place);
  if (expression.hasAlternatives) expression.refuse("alternatives outside of a group");
  return expression;
}

/** The offsets where a name's parts begin: 0 and after every dot. */
function starts(name: string): number[] {
  const offsets = [0];
  for (let at = name.indexOf("."); at >= 0; at = name.indexOf(".", at + 1)) offsets.push(at + 1);
  return offsets;
}
