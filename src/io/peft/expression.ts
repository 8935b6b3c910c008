/**
 * Python regular expressions from untrusted files, the subset that PEFT's and unsloth's have: characters, escaped ones,
 * classes, `.`, `^`, `$`, `\b`, groups, alternatives, repetitions. Anything else is refused by name. A part of an
 * expression takes all positions that a match may have reached to all that it may reach next, so that nothing is tried
 * twice; a budget bounds what is left. Texts are module names: ASCII, without line ends.
 */
import { ConfigError } from "../../errors.ts";
import { LIMITS } from "../limits.ts";

/** Where an expression is, for errors, and what all expressions of the file may still cost. */
export interface PatternPlace {
  setting: string;
  where: string;
  budget: { steps: number };
}

/** Takes positions in a text, each once, to those behind what it matches there. */
type Step = (text: string, from: readonly number[]) => readonly number[];

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
/** By the letter of its escape, the characters of a class. */
const CLASSES = new Map(
  [/\d/, /\D/, /\w/, /\W/, /\s/, /\S/].map((each) => [each.source[1]!, ASCII.filter((sign) => each.test(sign))]),
);
const REPETITION = /(?:[*+?]|\{(?=[\d,])(\d*)(,?)(\d*)\})\??/y;

export class Expression {
  /** The positions behind all matches that begin at the positions `from`. */
  readonly ends: Step;
  /** Whether it has alternatives outside of its groups. */
  hasAlternatives = false;
  private at = 0;

  /** Throws ConfigError for an expression that is wrong or not supported; so does `ends` if matching takes too long. */
  constructor(
    private readonly source: string,
    private readonly place: PatternPlace,
  ) {
    if (source.length > LIMITS.expression) this.refuse(`more than ${LIMITS.expression} characters`);
    if (/[^\0-\x7f]/.test(source)) this.refuse("a character that is not ASCII");
    this.spend(10 * source.length);
    this.ends = this.alternatives(0);
    if (this.at < source.length) this.refuse("unbalanced parenthesis");
  }

  refuse(reason: string): never {
    const { setting, where } = this.place;
    throw new ConfigError("unsupported-pattern", `unsupported regular expression in ${setting}: ${reason}`, {
      where,
      expected: "names, or a Python regular expression of characters, classes, groups, alternatives and repetitions",
      found: this.source,
      hint: `write ${setting} as a list of names, such as attn.c_attn or transformer.h.3.mlp.c_fc`,
    });
  }

  private run(step: Step, text: string, from: readonly number[]): readonly number[] {
    this.spend(1 + from.length);
    return step(text, from);
  }

  private spend(steps: number): void {
    this.place.budget.steps -= steps;
    if (this.place.budget.steps < 0) this.refuse("the file's expressions take too long to match");
  }

  private alternatives(depth: number): Step {
    if (depth > LIMITS.jsonDepth) this.refuse("groups are nested too deeply");
    const steps = [this.sequence(depth)];
    while (this.take("|")) steps.push(this.sequence(depth));
    if (steps.length === 1) return steps[0]!;
    this.hasAlternatives ||= depth === 0;
    return (text, from) => [...new Set(steps.flatMap((step) => this.run(step, text, from)))];
  }

  private sequence(depth: number): Step {
    const steps: Step[] = [];
    while (this.at < this.source.length && !"|)".includes(this.source[this.at]!)) steps.push(this.repetition(depth));
    return (text, from) => {
      let positions = from;
      for (let i = 0; i < steps.length && positions.length > 0; i++) positions = this.run(steps[i]!, text, positions);
      return positions;
    };
  }

  private repetition(depth: number): Step {
    const begin = this.at;
    const step = this.atom(depth);
    const isAssertion = ["^", "$", "\\b"].includes(this.source.slice(begin, this.at));
    REPETITION.lastIndex = this.at;
    const [sign, low, comma, high] = REPETITION.exec(this.source) ?? [];
    if (sign === undefined) return step;
    if (isAssertion) this.refuse("nothing to repeat");
    this.at += sign.length;
    const least = low === undefined ? Number(sign[0] === "+") : Number(low);
    const most = sign[0] === "?" ? 1 : low !== undefined && !comma ? least : Number(high || Number.POSITIVE_INFINITY);
    if (least > most) this.refuse("a least count above the most");
    return (text, from) => {
      let latest = from;
      // More repetitions than characters reach no other positions: some of them match nothing.
      for (let i = 0; i < Math.min(least, text.length + 1); i++) latest = this.run(step, text, latest);
      const all = new Set(latest);
      for (let i = least; i < most && latest.length > 0; i++) {
        latest = this.run(step, text, latest).filter((at) => !all.has(at));
        for (const at of latest) all.add(at);
      }
      return [...all];
    };
  }

  private atom(depth: number): Step {
    const sign = this.source[this.at++]!;
    if (sign === "(") {
      if (this.source[this.at] === "?" && !this.take("?:")) this.refuse("of the groups with (? only (?: is supported");
      const step = this.alternatives(depth + 1);
      if (!this.take(")")) this.refuse("missing )");
      return step;
    }
    if (sign === "^") return (_, from) => from.filter((at) => at === 0);
    if (sign === "$") return (text, from) => from.filter((at) => at === text.length);
    if (sign === "\\" && this.take("b")) {
      const isWord = (character = "") => /\w/.test(character);
      return (text, from) => from.filter((at) => isWord(text[at - 1]) !== isWord(text[at]));
    }
    if ("*+?{".includes(sign)) this.refuse(`nothing to repeat before ${sign}`);
    const characters = sign === "[" ? this.set() : sign === "." ? ASCII : sign === "\\" ? this.escaped() : [sign];
    return (text, from) => from.filter((at) => characters.includes(text[at]!)).map((at) => at + 1);
  }

  /** What follows a `[`. */
  private set(): string[] {
    const isNegated = this.take("^");
    const members = new Set<string>();
    for (let isFirst = true; isFirst || !this.take("]"); isFirst = false) {
      const low = this.member();
      const isRange = this.source[this.at] === "-" && this.source[this.at + 1] !== "]";
      if (isRange) this.at++;
      const high = isRange ? this.member() : low;
      if (isRange && (low.length > 1 || high.length > 1 || low[0]! > high[0]!))
        this.refuse("a wrong range of characters");
      const range = isRange ? ASCII.filter((sign) => sign >= low[0]! && sign <= high[0]!) : low;
      for (const sign of range) members.add(sign);
    }
    return ASCII.filter((sign) => members.has(sign) !== isNegated);
  }

  private member(): readonly string[] {
    if (this.at === this.source.length) this.refuse("missing ]");
    return this.take("\\") ? this.escaped() : [this.source[this.at++]!];
  }

  /** What follows a backslash. */
  private escaped(): readonly string[] {
    const sign = this.source[this.at++] ?? this.refuse("trailing backslash");
    const known = CLASSES.get(sign);
    if (known === undefined && /\w/.test(sign) && sign !== "_") this.refuse(`\\${sign} is not supported`);
    return known ?? [sign];
  }

  private take(text: string): boolean {
    const isThere = this.source.startsWith(text, this.at);
    if (isThere) this.at += text.length;
    return isThere;
  }
}
