/**
 * Python regular expressions from untrusted files, matched without backtracking: an automaton (Thompson, Pike) reads the text
 * once, in time proportional to the size of the expression times the length of the text. Syntax and results are Python's;
 * features that an automaton cannot support throw ExpressionError. Texts are module names: ASCII, without line ends.
 */

/** The reason why an expression is not supported, or too expensive. */
export class ExpressionError extends Error {}

/** The remaining budget for the expressions of one file: states to build, and transitions to take. */
export interface Effort {
  states: number;
  steps: number;
}

/** Counts one transition. */
export function spend(effort: Effort): void {
  if (--effort.steps < 0) throw new ExpressionError("the expressions take too long to match");
}

/** 1 at the code of every character that is accepted. */
type Codes = Uint8Array;
type Assertion = (text: string, at: number) => boolean;

type Node =
  | { kind: "codes"; codes: Codes }
  | { kind: "assert"; holds: Assertion }
  | { kind: "sequence"; parts: Node[] }
  | { kind: "choice"; options: Node[] }
  | { kind: "repeat"; body: Node; min: number; max: number; lazy: boolean }
  | { kind: "index"; body: Node };

type State =
  | { kind: "codes"; codes: Codes }
  | { kind: "assert"; holds: Assertion }
  /** Continues in each of these states, in order of preference. */
  | { kind: "jump"; to: number[] }
  | { kind: "begin" | "end" | "match" };

const ASCII = 128;
/** Largest nesting depth of groups: the parser is recursive. */
const DEEPEST = 100;
/** The name of the captured group in PEFT's expressions. */
const INDEX = "idx";

const codesOf = (accepts: (sign: string) => boolean): Codes =>
  Uint8Array.from({ length: ASCII }, (_, code) => Number(accepts(String.fromCharCode(code))));

const asCodes = (meaning: string | Codes): Codes =>
  typeof meaning === "string" ? codesOf((sign) => sign === meaning) : meaning;

const CLASSES: Record<string, Codes> = {
  d: codesOf((sign) => /\d/.test(sign)),
  D: codesOf((sign) => /\D/.test(sign)),
  w: codesOf((sign) => /\w/.test(sign)),
  W: codesOf((sign) => /\W/.test(sign)),
  s: codesOf((sign) => /\s/.test(sign)),
  S: codesOf((sign) => /\S/.test(sign)),
};

const isWord = (text: string, at: number) => /\w/.test(text.charAt(at));
const atStart: Assertion = (_, at) => at === 0;
const atEnd: Assertion = (text, at) => at === text.length;

const ASSERTIONS: Record<string, Assertion> = {
  "^": atStart,
  $: atEnd,
  "\\A": atStart,
  "\\Z": atEnd,
  "\\b": (text, at) => isWord(text, at - 1) !== isWord(text, at),
  "\\B": (text, at) => isWord(text, at - 1) === isWord(text, at),
};

class Parser {
  readonly #source: string;
  #at = 0;
  #depth = 0;
  #ignoreCase = false;
  readonly #names = new Set<string>();

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Node {
    this.#ignoreCase = this.#take("(?i)");
    const node = this.#choice();
    return this.#at < this.#source.length ? this.#refuse("an unbalanced )") : node;
  }

  #refuse(what: string): never {
    throw new ExpressionError(what);
  }

  /** Consumes `text` if it comes next. */
  #take(text: string): boolean {
    const there = this.#source.startsWith(text, this.#at);
    if (there) this.#at += text.length;
    return there;
  }

  #next(): string {
    const sign = this.#source.charAt(this.#at);
    if (sign === "") this.#refuse("the expression is incomplete");
    if (sign.charCodeAt(0) >= ASCII) this.#refuse("a character that is not ASCII");
    this.#at++;
    return sign;
  }

  #choice(): Node {
    if (++this.#depth > DEEPEST) this.#refuse(`more than ${DEEPEST} nested groups`);
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source.charAt(this.#at)))
      parts.push(this.#repeated(this.#atom()));
    return { kind: "sequence", parts };
  }

  #repeated(body: Node): Node {
    const count = this.#count();
    if (count === undefined) return body;
    const [min, max] = count;
    if (body.kind === "assert") this.#refuse("nothing to repeat");
    if (max < min) this.#refuse("a repetition whose minimum is above its maximum");
    const lazy = this.#take("?");
    if (this.#take("+")) this.#refuse("possessive repetition is not supported");
    if (this.#count()) this.#refuse("a repetition of a repetition");
    return { kind: "repeat", body, min, max, lazy };
  }

  /** `*`, `+`, `?`, `{2}`, `{2,}`, `{,3}`, `{2,3}`; any other `{` stands for itself. */
  #count(): [min: number, max: number] | undefined {
    if (this.#take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#take("?")) return [0, 1];
    const digits = /\{(?!\})(\d*)(?:(,)(\d*))?\}/y;
    digits.lastIndex = this.#at;
    const [text, min = "", comma, max = ""] = digits.exec(this.#source) ?? [];
    if (text === undefined) return undefined;
    this.#at += text.length;
    if (comma === undefined) return [Number(min), Number(min)];
    return [Number(min), max === "" ? Number.POSITIVE_INFINITY : Number(max)];
  }

  #atom(): Node {
    if (this.#count()) this.#refuse("nothing to repeat");
    const sign = this.#next();
    if (sign === "(") return this.#group();
    if (sign === "[") return { kind: "codes", codes: this.#set() };
    if (sign === ".") return { kind: "codes", codes: codesOf((one) => one !== "\n") };
    const word = sign === "\\" ? sign + this.#next() : sign;
    const holds = ASSERTIONS[word];
    return holds ? { kind: "assert", holds } : { kind: "codes", codes: this.#folded(asCodes(this.#meaning(word))) };
  }

  #group(): Node {
    const named = this.#take("?P<");
    if (!named && !this.#take("?:") && this.#take("?"))
      this.#refuse("the only supported groups with (? are (?:, (?P<name> and, at the start, (?i)");
    let name = "";
    if (named) while (!this.#take(">")) name += this.#next();
    if (named && (!/^[a-zA-Z_]\w*$/.test(name) || this.#names.has(name)))
      this.#refuse(`invalid or duplicate group name ${JSON.stringify(name)}`);
    this.#names.add(name);
    const body = this.#choice();
    if (!this.#take(")")) this.#refuse("a group that is not closed");
    return name === INDEX ? { kind: "index", body } : { kind: "sequence", parts: [body] };
  }

  /** The character or class that a character, or a backslash and a character, stands for. */
  #meaning(word: string): string | Codes {
    const named = CLASSES[word.slice(1)];
    if (!named && /^\\[a-zA-Z0-9]/.test(word)) this.#refuse(`${word} is not supported`);
    return named ?? word.at(-1)!;
  }

  /** A set of characters, after its `[`. */
  #set(): Codes {
    let codes = new Uint8Array(ASCII);
    const add = (more: Codes) => {
      codes = codes.map((is, code) => is | more[code]!);
    };
    const negated = this.#take("^");
    for (let first = true; first || !this.#take("]"); first = false) {
      const from = this.#member();
      const range = this.#source.charAt(this.#at) === "-" && this.#source.charAt(this.#at + 1) !== "]";
      if (range) this.#at++;
      const to = range ? this.#member() : from;
      if (!range) add(asCodes(from));
      else if (typeof from === "string" && typeof to === "string" && from <= to)
        add(codesOf((sign) => from <= sign && sign <= to));
      else this.#refuse("a range that is reversed, or that contains a class");
    }
    return this.#folded(codes).map((is) => (negated ? 1 - is : is));
  }

  #member(): string | Codes {
    const sign = this.#next();
    return this.#meaning(sign === "\\" ? sign + this.#next() : sign);
  }

  #folded(codes: Codes): Codes {
    if (!this.#ignoreCase) return codes;
    return codesOf((sign) => [sign.toLowerCase(), sign.toUpperCase()].some((one) => codes[one.charCodeAt(0)] === 1));
  }
}

/** Appends the states of a node; they lead to the state after them. */
function build(node: Node, states: State[], effort: Effort): void {
  if (--effort.states < 0) throw new ExpressionError("the expressions are too large");
  if (node.kind === "sequence") for (const part of node.parts) build(part, states, effort);
  else if (node.kind === "choice") {
    const first: State = { kind: "jump", to: [] };
    states.push(first);
    const ends = node.options.map((option) => {
      first.to.push(states.length);
      build(option, states, effort);
      const end: State = { kind: "jump", to: [] };
      states.push(end);
      return end;
    });
    for (const end of ends) end.to.push(states.length);
  } else if (node.kind === "repeat") buildRepeat(node, states, effort);
  else if (node.kind === "index") {
    states.push({ kind: "begin" });
    build(node.body, states, effort);
    states.push({ kind: "end" });
  } else states.push(node);
}

function buildRepeat(node: Node & { kind: "repeat" }, states: State[], effort: Effort): void {
  const { body, min, max, lazy } = node;
  for (let i = 0; i < min; i++) build(body, states, effort);
  const forks: number[][] = [];
  const endless = max === Number.POSITIVE_INFINITY;
  for (let i = min; i < (endless ? min + 1 : max); i++) {
    const at = states.length;
    const to = [at + 1];
    forks.push(to);
    states.push({ kind: "jump", to });
    build(body, states, effort);
    if (endless) states.push({ kind: "jump", to: [at] });
  }
  for (const to of forks) lazy ? to.unshift(states.length) : to.push(states.length);
}

/** Where the captured group begins and ends, on one path through the states. */
interface Span {
  begin: number;
  end: number;
}

export class Expression {
  readonly #states: State[] = [];
  readonly #effort: Effort;
  /** The round in which each state was last reached. */
  readonly #reached: Uint32Array;
  #round = 0;

  /** Throws ExpressionError if `source` is not supported, or too large. */
  constructor(source: string, effort: Effort) {
    this.#effort = effort;
    // Parsing counts as well.
    effort.states -= source.length;
    if (effort.states < 0) throw new ExpressionError("the expressions are too long");
    build(new Parser(source).parse(), this.#states, effort);
    this.#states.push({ kind: "match" });
    this.#reached = new Uint32Array(this.#states.length);
  }

  /** Python's `re.fullmatch`. */
  matchesAll(text: string): boolean {
    return this.#run(text, true) !== undefined;
  }

  /** Python's `re.match`: the group `idx`, "" if it did not take part in the match; undefined if there is no match. */
  match(text: string): string | undefined {
    const span = this.#run(text, false);
    return span && text.slice(span.begin, span.end);
  }

  /** The match that Python prefers: states are kept in the order in which Python would try them, each with its span. */
  #run(text: string, whole: boolean): Span | undefined {
    let found: Span | undefined;
    let [states, spans]: [number[], Span[]] = [[0], [{ begin: 0, end: 0 }]];
    for (let at = 0; at <= text.length && states.length > 0; at++) {
      const [nextStates, nextSpans]: [number[], Span[]] = [[], []];
      this.#round++;
      while (states.length > 0) {
        const [id, span] = [states.pop()!, spans.pop()!];
        spend(this.#effort);
        if (this.#reached[id] === this.#round) continue;
        this.#reached[id] = this.#round;
        const state = this.#states[id]!;
        if (state.kind === "jump")
          for (let i = state.to.length - 1; i >= 0; i--) {
            states.push(state.to[i]!);
            spans.push(span);
          }
        else if (state.kind === "codes") {
          if (state.codes[text.charCodeAt(at)] !== 1) continue;
          nextStates.push(id + 1);
          nextSpans.push(span);
        } else if (state.kind === "match") {
          if (whole && at < text.length) continue;
          found = span;
          // The remaining states have lower priority.
          states.length = 0;
        } else if (state.kind !== "assert" || state.holds(text, at)) {
          states.push(id + 1);
          spans.push(state.kind === "assert" ? span : { ...span, [state.kind]: at });
        }
      }
      [states, spans] = [nextStates.reverse(), nextSpans.reverse()];
    }
    return found;
  }
}
