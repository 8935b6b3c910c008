/**
 * Chats: a model's template, which is Jinja, makes one text of the messages, as `apply_chat_template` of transformers
 * does. A template is foreign code: it runs in an interpreter that counts what it does. Loaded on demand.
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { isText, lookUp, show } from "../../core/checks.ts";
import { ConfigError, DataError, FormatError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { LIMITS } from "../../io/limits.ts";
import type { ChatTemplate } from "../../io/tokenizer/vocabulary.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { Completion } from "./blocks.ts";

/** A message of a chat. */
export interface Message {
  /** "system", "user", "assistant" or what else the template knows. */
  role: string;
  content: string;
}

/** Throws DataError unless a value is a list of messages. */
function checkMessages(value: unknown, where: string): asserts value is Message[] {
  const list: Partial<Message>[] = Array.isArray(value) ? value : [];
  const wrong = list.findIndex((message) => ![message?.role, message?.content].every(isText));
  if (list.length > 0 && wrong < 0) return;
  throw new DataError("invalid-messages", "the messages of a chat are invalid", {
    where,
    expected: 'a list of messages such as {"role": "user", "content": "..."}',
    found: wrong < 0 ? "no messages" : `message ${wrong + 1}: ${show(list[wrong]).slice(0, 60)}`,
  });
}

type Render = (messages: readonly Message[], addGenerationPrompt: boolean) => string;

/** The chats of a model: its template with its tokenizer. */
export class Chat {
  private readonly render: Render;

  /** Throws ConfigError if the model has no template, FormatError if it is invalid. */
  constructor(private readonly tokenizer: Tokenizer) {
    if (tokenizer.chat === null)
      throw new ConfigError("no-chat-template", "the model has no chat template", {
        expected: "chat_template.jinja, or chat_template in tokenizer_config.json",
        hint: `use ${setting("model", "smollm2-135m")}, which has one and is downloaded (269 MB)`,
      });
    this.render = compile(tokenizer.chat);
  }

  /** The tokens of messages, and of what begins the answer. Throws DataError for what are none. */
  prompt(messages: unknown, where = "the chat"): Uint32Array {
    checkMessages(messages, where);
    return this.encode(this.render(messages, true));
  }

  /**
   * As `prompt`, for at most `most` tokens: of a longer chat the oldest turns are left out, each with its answer. A
   * quarter of `most` goes at once, so that the next turns continue the same prompt. What is before the first turn stays,
   * such as a system message, and so does the last turn. `omitted`: how many messages were left out.
   */
  promptWithin(messages: readonly Message[], most: number, where: string): { ids: Uint32Array; omitted: number } {
    const all = this.prompt(messages, where);
    const step = Math.max(1, most >> 2);
    const excess = step * Math.ceil((all.length - most) / step);
    const turns = messages.flatMap(({ role }, i) => (role === "user" ? [i] : []));
    let [ids, omitted] = [all, 0];
    for (const start of turns.slice(1)) {
      if (all.length - ids.length >= excess) break;
      ids = this.prompt([...messages.slice(0, turns[0]), ...messages.slice(start)], where);
      omitted = start - turns[0]!;
    }
    return { ids, omitted };
  }

  /** The text of the token that ends an answer; null: the template has none. */
  findEnd(): string | null {
    const question = { role: "user", content: "x" };
    return this.split([question, { role: "assistant", content: "y" }]).end;
  }

  /** Each answer of a chat with the messages before it, to be learned. */
  completions(messages: unknown, where: string): Completion[] {
    checkMessages(messages, where);
    const answers = messages.flatMap(({ role }, i) => (role === "assistant" ? [messages.slice(0, i + 1)] : []));
    if (answers.length === 0)
      throw new DataError("invalid-messages", "the chat has no answer", {
        where,
        expected: 'a message of the role "assistant"',
      });
    return answers.map((some) => {
      const { prompt, answer } = this.split(some);
      const ids = this.encode(answer);
      // Every completion ends with this token.
      const completion = ids.at(-1) === this.tokenizer.endOfText ? ids.subarray(0, -1) : ids;
      const [first, ...more] = some.slice(0, -1).filter(({ role }) => role !== "system");
      const message = first?.role === "user" && more.length === 0 ? first.content : null;
      return { prompt: this.encode(prompt), completion, message };
    });
  }

  /** The text before the last message, an answer, and its own with the token that ends it. */
  private split(messages: readonly Message[]): { prompt: string; answer: string; end: string | null } {
    const prompt = this.render(messages.slice(0, -1), true);
    const all = this.render(messages, false);
    if (!all.startsWith(prompt))
      throw new FormatError("invalid-chat-template", "the chat template changes what is before an answer", {
        expected: excerpt(prompt),
        found: excerpt(all),
      });
    const rest = all.slice(prompt.length);
    // A template may leave out the white space around a message.
    const content = messages.at(-1)!.content.trim();
    const stop = rest.lastIndexOf(content) + content.length;
    const behind = rest.slice(stop);
    const special = this.encode(behind).find((id) => this.isSpecial(id));
    if (special === undefined) return { prompt, answer: rest.slice(0, stop), end: null };
    const end = this.tokenizer.decode([special]);
    return { prompt, answer: rest.slice(0, stop + behind.indexOf(end) + end.length), end };
  }

  /** The template writes special tokens, also the one that the tokenizer puts before other texts. */
  private encode(text: string): Uint32Array {
    return this.tokenizer.encode(text, { allowSpecial: true, addSpecialTokens: false });
  }

  /** Whether no text has this token unless special ones are allowed. */
  private isSpecial(id: number): boolean {
    const plain = this.tokenizer.encode(this.tokenizer.decode([id]), { addSpecialTokens: false });
    return plain.length !== 1 || plain[0] !== id;
  }
}

const EXCERPT_CHARACTERS = 80;
const excerpt = (text: string) => show(text.slice(-EXCERPT_CHARACTERS));

function compile({ template, tokens }: ChatTemplate): Render {
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof FormatError) throw cause;
      throw new FormatError("invalid-chat-template", "the chat template cannot be used", {
        found: (cause as Error).message,
        cause,
      });
    }
  };
  const isSparse = template.split(/\S+/).some(({ length }) => length > LIMITS.chatSpaces);
  if (template.length > LIMITS.chatTemplate || isSparse)
    throw new FormatError("invalid-chat-template", "the chat template is too long", {
      expected: `at most ${LIMITS.chatTemplate} characters, ${LIMITS.chatSpaces} of white space in a row`,
    });
  const program = attempt(() => parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true })));
  return (messages, add_generation_prompt) =>
    attempt(() => {
      const environment = new Environment();
      const chat = { messages: messages.map(({ role, content }) => ({ role, content })), add_generation_prompt };
      for (const [name, value] of Object.entries({ ...GLOBALS, ...tokens, ...chat })) environment.set(name, value);
      return String(new CountingInterpreter(environment).run(program).value);
    });
}

/**
 * What a template can name in addition to the messages. Not the date (`strftime_now`), with which the same data would
 * have other tokens on another day: templates then take one of their own.
 */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  tools: null,
  documents: null,
  True: true,
  False: false,
  None: null,
  range: boundedRange,
  raise_exception(message: string): never {
    throw new Error(message);
  },
};

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [first, end] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.max(0, Math.ceil((end - first) / step));
  if (!(count <= LIMITS.chatRange)) throw new Error(`range() of over ${LIMITS.chatRange} numbers`);
  return Array.from({ length: count }, (_, i) => first + i * step);
}

type Evaluate = Parameters<Interpreter["evaluate"]>;
type Value = ReturnType<Interpreter["evaluate"]>;

/**
 * Filters and methods that may write an argument at every place of what they are given, JSON as often as it is deep.
 */
const SPREADING = { join: 1, indent: 1, replace: 1, tojson: LIMITS.jsonDepth };

/** A filter with arguments or a method, or another statement, and the sizes of what is evaluated for it. */
interface Call {
  name?: string | undefined;
  largest: number;
  sum: number;
}

/** What is looked at of a statement. */
interface Node {
  value?: string;
  filter?: Node;
  callee?: Node;
  property?: Node;
}

/**
 * Counts what is evaluated, with the size of each value, and looks at the clock, which bounds memory and time. A value
 * is measured with all that is in it before anything converts it to text: a list may have one long text a thousand
 * times.
 */
class CountingInterpreter extends Interpreter {
  private left: number = LIMITS.chatWork;
  private readonly end = performance.now() + LIMITS.chatTime;
  private call: Call = { largest: 0, sum: 0 };

  override evaluate(statement: Evaluate[0], environment: Evaluate[1]): Value {
    const outer = this.call;
    const { filter, callee } = { ...statement } as Node;
    const own = { name: (filter?.callee ?? callee?.property)?.value, largest: 0, sum: 0 };
    this.call = own;
    const result = super.evaluate(statement, environment);
    this.call = outer;
    const { value } = result;
    if (isText(value)) this.left -= value.length;
    // A method is as large as its object.
    const size = typeof value === "function" ? own.largest : Math.max(this.measure(result), Number(value) || 0);
    outer.sum += size;
    outer.largest = Math.max(outer.largest, size);
    const spread = (lookUp(SPREADING, outer.name) ?? 0) * outer.largest * (outer.sum - outer.largest);
    if (spread > LIMITS.chatSpread || performance.now() > this.end) this.refuse();
    return result;
  }

  /** The values in a value, at every place where one is, and the characters of its texts and keys. */
  private measure({ value }: Value, depth = 0): number {
    this.left--;
    let size = 1;
    if (isText(value)) size += value.length;
    else if (Array.isArray(value)) for (const part of value) size += this.measure(part, depth + 1);
    else if (value instanceof Map) for (const [key, part] of value) size += key.length + this.measure(part, depth + 1);
    if (this.left < 0 || size > LIMITS.chatValue || depth > LIMITS.jsonDepth) this.refuse();
    return size;
  }

  private refuse(): never {
    throw new FormatError("invalid-chat-template", "the chat template does too much", {
      expected: `at most ${LIMITS.chatWork} values and characters, and ${LIMITS.chatTime / 1000} seconds`,
    });
  }
}
