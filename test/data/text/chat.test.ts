/** Chats: what a template makes of messages, as transformers does, what is learned of them, and hostile templates. */
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Chat, type Message } from "../../../src/data/text/chat.ts";
import { loadTexts } from "../../../src/data/text/texts.ts";
import { LIMITS } from "../../../src/io/limits.ts";
import { assertFails } from "../../helpers/border.ts";
import { test, testAll } from "../../helpers/harness.ts";
import { fileOf, jsonLines } from "../../helpers/tiny.ts";
import { assertIds, goldenVocabulary, loadTokenizer, readFiles, vocabularyModel } from "../../helpers/vocabulary.ts";

interface Golden {
  template: string;
  eos_token: string;
  cases: [chat: Message[], prompt: boolean, text: string, ids: number[]][];
}
const FAST = JSON.parse(goldenVocabulary("tokenizer.json"));
const { added_tokens, ...GOLDEN } = JSON.parse(goldenVocabulary("chats.json")) as { added_tokens: object[] } & Record<
  string,
  Golden
>;

/** The fixture's vocabulary with a template and the token that ends a text. */
const readChat = (chat_template: unknown, eos_token = "<|im_end|>", files: object = {}) =>
  readFiles({
    "tokenizer.json": { ...FAST, added_tokens },
    "tokenizer_config.json": { chat_template, eos_token, bos_token: "<|begin_of_text|>" },
    ...files,
  });

const openChat = async (template: unknown, end?: string, files?: object) => {
  const tokenizer = await loadTokenizer(await readChat(template, end, files));
  return { chat: new Chat(tokenizer), tokenizer };
};

for (const [name, { template, eos_token, cases }] of Object.entries(GOLDEN))
  test(`${name}: chats have the ids of transformers`, async () => {
    const { chat } = await openChat(template, eos_token);
    for (const [messages, isPrompt, text, ids] of cases) if (isPrompt) assertIds(chat.prompt(messages), ids, text);
  });

const CONVERSATION: Message[] = [
  { role: "user", content: "Wer hat das Recht?" },
  { role: "assistant", content: "Jeder Mensch." },
  { role: "user", content: "Und wann?" },
  { role: "assistant", content: " Immer " },
];

test("the answers of a chat are learned with the token that ends them, each behind all before it", async () => {
  const ends = {
    smollm: [null, "<|im_end|>", ["Jeder Mensch.", " Immer "]],
    llama: [null, "<|eot_id|>", ["Jeder Mensch.", "Immer"]],
    qwen: [null, "<|im_end|>", ["Jeder Mensch.", " Immer "]],
    // Not the token that ends a text: both are learned.
    base: ["<|im_end|>", "<|im_end|>", ["Jeder Mensch.", " Immer "]],
    plain: [null, null, ["Jeder Mensch.", " Immer"]],
    ended: [null, "<|endoftext|>", ["Jeder Mensch.", " Immer "]],
  } as const;
  for (const [name, [left, end, answers]] of Object.entries(ends)) {
    const { template, eos_token } = GOLDEN[name]!;
    const { chat, tokenizer } = await openChat(template, eos_token);
    assert.is(chat.findEnd(), end, name);
    const found = chat.completions(CONVERSATION, "here");
    assert.equal(
      found.map(({ completion }) => tokenizer.decode(completion)),
      answers.map((answer) => answer + (left ?? "")),
      name,
    );
    for (const [i, { prompt }] of found.entries())
      assertIds(prompt, chat.prompt(CONVERSATION.slice(0, 2 * i + 1)), name);
  }
});

test("the template is that of a file of its own, or the default of several", async () => {
  const chats = async (template: unknown, files?: object) => {
    const { chat, tokenizer } = await openChat(template, undefined, files);
    return tokenizer.decode(chat.prompt([{ role: "user", content: "und" }]));
  };
  assert.is(await chats("a {{ messages[0].content }}"), "a und");
  const several = [
    { name: "tool_use", template: "t" },
    { name: "default", template: "d {{ eos_token }}" },
  ];
  assert.is(await chats(several), "d <|im_end|>");
  assert.is(
    await chats("a", { "chat_template.jinja": "f {{ bos_token }}{{ strftime_now is defined }}" }),
    "f <|begin_of_text|>false",
  );
  const none = await loadTokenizer(await readFiles({ "tokenizer.json": FAST }));
  await assertFails("no-chat-template", ["smollm2-135m"], async () => new Chat(none));
});

type Hostile = readonly [word: string, template: string];

/** Soon and in little memory. */
async function assertRefused(hostile: readonly Hostile[]): Promise<void> {
  for (const [word, template] of hostile) {
    const before = process.resourceUsage().maxRSS;
    await assertFails("invalid-chat-template", [word], async () =>
      (await openChat(template)).chat.prompt(CONVERSATION),
    );
    const grown = (process.resourceUsage().maxRSS - before) >> 10;
    assert.ok(grown < 200, `${grown} MiB more for ${template.slice(0, 200)}`);
  }
}

// Each takes a second. The limit of a value's size is met by a text below.
testAll("a template whose lists and objects double is an error", () => {
  const double = (text: string) => `{% set x = ${text} %}${"{% set x = [x, x] %}".repeat(60)}{{ x | tojson }}`;
  const add = "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
  return assertRefused([double("[]"), double("{}"), add].map((template) => ["does too much", template]));
});

test("a template that is invalid, refuses, or does not end is an error", async () => {
  const hostile: Hostile[] = [
    ["cannot be used", "{% for %}"],
    ["cannot be used", "{{ 'a"],
    ["cannot be used", `{{ ${"(".repeat(60_000)} }}`],
    ["cannot be used", "{{ messages[0].content.nothing.more() }}"],
    ["only one system message", "{{ raise_exception('only one system message') }}"],
    ["too long", "x".repeat(LIMITS.chatTemplate + 1)],
    ["too long", " \t".repeat(30_000)],
    ["range()", "{% for i in range(1000000000) %}{% endfor %}"],
    ["range()", "{% for i in range(0, 1, 0) %}{% endfor %}"],
    ["does too much", `${"{% for i in range(10000) %}".repeat(4)}x${"{% endfor %}".repeat(4)}`],
    [
      "does too much",
      `{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}`,
    ],
    ["cannot be used", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    ["cannot be used", "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}"],
    ["does too much", "{{ 'a' | indent(999999999999) }}"],
  ];
  // A long text at many places: what converts it to a text, compares it, or writes an argument there.
  const repeat = (name: string, times: number, by: string) =>
    `{% for i in range(${times}) %}{% set ns.${name} = ns.${name} ${by} ns.${name} %}{% endfor %}`;
  const many = (end: string, value = "ns.x", text = 18, list = 12, start = "ab") =>
    `{% set ns = namespace(x='${start}') %}${repeat("x", text, "~")}{% set ns.y = [${value}] %}${repeat("y", list, "+")}${end}`;
  for (const end of [
    ...["{{ ns.y | tojson }}", "{{ ns.y | string }}", "{{ ns.y | join }}", "{{ ns.y }}", "{{ ns.y ~ '' }}"],
    ...["{{ ns.y | sort }}", "{{ ns.y | unique }}", "{{ 'a' in ns.y }}", "{{ {'k': ns.y} | tojson }}"],
  ])
    hostile.push(["does too much", many(end)]);
  hostile.push(
    ["does too much", many("{{ ns.y | tojson }}", "{ns.x: 1}")],
    ["does too much", many("{{ ns.y | join(ns.x) }}", "1")],
    ["does too much", many("{{ ns.y | tojson(separators=(ns.x, ':')) }}", "1")],
    ["does too much", many("{{ ns.y | tojson(indent=100000) }}", "1", 1)],
    ["does too much", many("{{ ns.x.replace('a', ns.x) }}")],
    ["does too much", many("{{ ns.x | replace('a', ns.x) }}")],
    ["does too much", many("{{ ns.x | indent(10000) }}", "1", 14, 1, "a\\n")],
    ["does too much", many("{% filter indent(10000) %}{{ ns.x }}{% endfilter %}", "1", 14, 1, "a\\n")],
  );
  await assertRefused(hostile);
  // A usual template may do all of it, with a long chat.
  const usual =
    "{% for m in messages %}{{ m.content.replace('a', 'bb') | indent(2) }}{% endfor %}{{ messages | tojson(indent=4) }}";
  const { chat } = await openChat(usual);
  assert.ok(chat.prompt([{ role: "user", content: "a\nca".repeat(5000) }]).length > 20_000);
  await assertFails("invalid-chat-template", ["changes what is before an answer"], async () =>
    (await openChat("{{ messages | length }}")).chat.completions(CONVERSATION, "here"),
  );
});

test("chats as data: answers are targets, a chat is in one set, and what is no chat is refused", async () => {
  const model = vocabularyModel(await readChat(GOLDEN.smollm!.template));
  const chats = Array.from({ length: 30 }, (_, i) => ({
    messages: CONVERSATION.map((one) => ({ ...one, content: `${one.content} ${i}` })),
  }));
  const file = (rows: unknown[]) => fileOf("chats.jsonl", jsonLines(rows));
  const options = { model, maxLength: 4000 };
  const { train, val, test: held, stats, chat } = await loadTexts({ file: file(chats) }, options);
  assert.ok(chat);
  // Only of the first answer of each the question is all that is before it.
  for (const { prompt, rest } of held.beginnings(9, 99))
    assert.match(`${prompt}: ${rest}`, /^Wer hat das Recht\? (\d+): Jeder Mensch\. \1$/);
  assert.equal([stats.train.documents, stats.val.documents, stats.test.documents], [48, 6, 6]);
  const tokenizer = await loadTokenizer(model.vocabulary);
  const numbers = [train, val, held].map((set) => {
    const { ids, starts, targets } = set.batch(set.positions());
    return new Set(
      Array.from({ length: set.size }, (_, b) => {
        const own = targets.subarray(starts[b], starts[b + 1]).filter((id) => id >= 0);
        const text = tokenizer.decode(own);
        assert.match(text, /^(Jeder Mensch\.| Immer ) \d+<\|im_end\|>$/);
        assert.match(tokenizer.decode(ids.subarray(starts[b], starts[b + 1])), "<|im_start|>assistant\n");
        return /\d+/.exec(text)![0];
      }),
    );
  });
  assert.equal(
    numbers.map(({ size }) => size),
    [24, 3, 3],
  );
  assert.is(new Set(numbers.flatMap((some) => [...some])).size, 30);
  // ShareGPT's names for the same, and Alpaca's for one answer.
  const from = { system: "system", user: "human", assistant: "gpt" } as Record<string, string>;
  const shared = chats.map(({ messages }) => ({
    id: 1,
    conversations: messages.map(({ role, content }) => ({ from: from[role] ?? role, value: content })),
  }));
  assert.equal((await loadTexts({ file: file(shared) }, options)).stats, {
    train: train.stats(),
    val: val.stats(),
    test: held.stats(),
    empty: 0,
  });
  const one = { instruction: "Translate", input: "yes", output: "ja" };
  const asked = [
    { role: "user", content: "Translate\n\nyes" },
    { role: "assistant", content: "ja" },
  ];
  const of = async (row: unknown) => {
    const { train: set } = await loadTexts({ file: file([row]) }, { ...options, fractions: [1, 0, 0] });
    return tokenizer.decode(set.batch(set.positions()).ids);
  };
  assert.is(await of(one), await of({ messages: asked }));
  // A column of lists of structures, as data sets of the hub have it (written by pyarrow).
  const parquet = packagePath("test/golden/vocabulary/chats.parquet");
  for (const more of [{}, { textColumn: "messages" }])
    assert.is((await loadTexts({ file: parquet }, { ...options, ...more })).stats.train.documents, 16);
  for (const [word, messages] of [
    ["no messages", []],
    ["message 1", ["x"]],
    ["message 2", [CONVERSATION[0], { role: "assistant", content: [{ text: "x" }] }]],
    ["no answer", [CONVERSATION[0]]],
  ] as const)
    await assertFails("invalid-messages", [word, "chats.jsonl:1"], () =>
      loadTexts({ file: file([{ messages }]) }, options),
    );
  await assertFails("no-chat-template", [], () => loadTexts({ file: file(chats) }, {}));
});
