/** Writing text: against the definition, token by token from the whole model; and what a user sees of it. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { baseShapes } from "../../src/core/names.ts";
import { numel } from "../../src/core/tensor.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import type { GenerateOptions, GenerationChunk } from "../../src/infer/text/generation.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { loadModel } from "../../src/io/hf.ts";
import { encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import { GPT2_VOCABULARY } from "../../src/io/tokenizer/vocabulary.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { counting } from "../helpers/counting.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { withModel } from "../helpers/language-model.ts";
import { TASKS } from "../helpers/models.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const END = GPT2_VOCABULARY.end.id;

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const PROMPTS = [
  "Once upon a time",
  "",
  "x",
  "😀 naïve — 你好",
  "The quick brown fox jumps over the lazy dog. ".repeat(5),
];
const T = TINY.n_positions;

const complete = (prompts: readonly string[], options: GenerateOptions = {}, batchSize = 3) =>
  withModel(model, (lm) => lm.complete(prompts, options), { batchSize });

/** The likeliest tokens behind a prompt, by the engine that trains, the whole sequence anew for each. */
async function greedy(prompt: string, count: number): Promise<number[]> {
  const baseModel = await loadModel(model);
  const spec = { config: TINY, task: TASKS.lm, mode: "all", lora: null, train_head: false } as const;
  const capacity = { tokens: T, sequences: 1 };
  const engine = await Engine.create(await testDevice("wasm 1 thread"), { spec, capacity, optimizer: null });
  await loadBase(engine, baseModel);
  await baseModel.close();
  const encoded = [...(await Tokenizer.load()).encode(prompt)];
  let context = (encoded.length > 0 ? encoded : [END]).slice(-T);
  const made: number[] = [];
  while (made.length < count) {
    const N = context.length;
    const starts = Uint32Array.of(0, N);
    engine.forward({ ids: Uint32Array.from(context), starts, rows: new Uint32Array(), targets: new Int32Array(N) });
    const row = (await engine.logits(N)).subarray((N - 1) * TINY.vocab_size);
    made.push(row.reduce((best, x, id) => (x > row[best]! ? id : best), 0));
    context.push(made.at(-1)!);
    // As the documentation says: what stays of a context that overflows is its last half.
    if (context.length > T) context = context.slice(-T / 2);
  }
  engine.destroy();
  return made;
}

/** What is written behind each prompt, by the definition; the last one is beyond the context in the end. */
const COUNTS = [5, 5, 5, 5, 30];
let expected: Promise<number[][]> | undefined;
const expectedIds = () => {
  expected ??= (async () => {
    const all = [];
    for (const [i, prompt] of PROMPTS.entries()) all.push(await greedy(prompt, COUNTS[i]!));
    return all;
  })();
  return expected;
};

testOnDevices(
  "greedy writing is the likeliest token of the whole model, again and again, past the context",
  async () => {
    const ids = await expectedIds();
    const tokenizer = await Tokenizer.load();
    const [short, long] = [PROMPTS.slice(0, -1), PROMPTS.slice(-1)];
    const completions = await withModel(model, async (lm) => [
      ...(await lm.complete(short, { maxNewTokens: COUNTS[0]! })),
      ...(await lm.complete(long, { maxNewTokens: COUNTS.at(-1)! })),
    ]);
    completions.forEach((completion, i) => {
      assert.equal(completion.ids, ids[i], PROMPTS[i]);
      assert.is(completion.text, tokenizer.decode(completion.ids));
      assert.is(completion.finish, "length");
      assert.is(completion.forgotten > 0, i === PROMPTS.length - 1, `${completion.forgotten} forgotten`);
    });
  },
);

testOnDevices("a batch writes what each prompt alone does, drawn tokens as well", async () => {
  const [prompts, options] = [
    PROMPTS.slice(0, 4),
    { maxNewTokens: 4, temperature: 0.9, topK: 40, repetitionPenalty: 1.5 },
  ];
  const together = await complete(prompts, options);
  assert.equal(await complete(prompts, options, 1), together, "one at a time");
  // The first prompt has the seed's own numbers.
  assert.equal(await complete(prompts.slice(0, 1), options), together.slice(0, 1));
});

test("the seed decides what is drawn", async () => {
  const draw = (seed: number) => complete(["a", "a"], { temperature: 2, seed, maxNewTokens: 8 });
  const [one, again, other] = [await draw(1), await draw(1), await draw(2)];
  assert.equal(one, again);
  assert.not.equal(one[0]!.ids, other[0]!.ids);
  assert.not.equal(one[0]!.ids, one[1]!.ids, "the same prompt twice draws twice");
});

test("a prompt beyond the context keeps its end, and says so", async () => {
  const long = PROMPTS[4]!.repeat(12);
  const count = (await Tokenizer.load()).encode(long).length;
  assert.ok(count > T);
  const [completion] = await complete([long], { maxNewTokens: 1 });
  assert.is(completion!.forgotten, count - T);
  assert.equal(completion!.ids, await greedy(long, 1));
});

test("a single token beyond the context is forgotten, and said to be; none is where the prompt just fits", async () => {
  const tokenizer = await Tokenizer.load();
  for (const over of [0, 1, 2]) {
    const prompt = " the".repeat(T + over);
    assert.is(tokenizer.encode(prompt).length, T + over);
    const pieces: GenerationChunk[] = [];
    await withModel(model, async (lm) => {
      for await (const piece of lm.generate(prompt, { maxNewTokens: 1 })) pieces.push(piece);
    });
    assert.is(pieces[0]!.forgotten, over === 0 ? undefined : over);
  }
});

/**
 * A model that writes a text whatever the prompt of one token is: hidden states depend on the position alone, and the
 * token table has, for each token of the text, the sum of its positions' codes (rows of a Hadamard matrix).
 */
async function scripted(name: string, text: string, end = true): Promise<string> {
  const config = { ...TINY, n_embd: 64, n_layer: 1 };
  const ids = [...(await Tokenizer.load()).encode(text), ...(end ? [END] : [])];
  assert.ok(ids.length < 63, `${ids.length} tokens`);
  const code = (p: number, i: number) => {
    let bits = (p + 1) & i;
    for (let shift = 16; shift > 0; shift >>= 1) bits ^= bits >> shift;
    return bits & 1 ? -1 : 1;
  };
  const tensors = [...baseShapes(config)].map(([key, shape]) => {
    const data = new Float32Array(numel(shape));
    if (key === "ln_f.weight") data.fill(1);
    if (key === "wpe.weight") for (let p = 0; p < 63; p++) for (let i = 0; i < 64; i++) data[p * 64 + i] = code(p, i);
    if (key === "wte.weight")
      ids.forEach((id, p) => {
        for (let i = 0; i < 64; i++) data[id * 64 + i]! += 0.001 * code(p, i);
      });
    return { name: key, shape, dtype: "F32" as const, data };
  });
  const directory = join(folder, name);
  mkdirSync(directory);
  writeFileSync(join(directory, "config.json"), JSON.stringify({ model_type: "gpt2", ...config }));
  writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors, { format: "pt" }));
  return directory;
}

async function generatePieces(directory: string, options: GenerateOptions = {}): Promise<GenerationChunk[]> {
  return withModel(directory, async (lm) => {
    const pieces = [];
    for await (const piece of lm.generate("A", { maxNewTokens: 60, ...options })) pieces.push(piece);
    return pieces;
  });
}

const joinPieces = (pieces: GenerationChunk[]) => pieces.map(({ text }) => text).join("");

test("pieces are whole characters, however many tokens one has", async () => {
  const text = "Hi 👩‍👩‍👧 naïve 你好, 🏴‍☠️𝒳!";
  const directory = await scripted("characters", text);
  const ids = [...(await Tokenizer.load()).encode(text)];
  const pieces = await generatePieces(directory);
  assert.is(joinPieces(pieces), text);
  assert.equal(
    pieces.flatMap((piece) => piece.ids),
    [...ids, END],
  );
  for (const piece of pieces) assert.not.match(piece.text, /�|[\ud800-\udbff]$|^[\udc00-\udfff]/);
  assert.ok(pieces.length < ids.length, "some tokens complete no character");
  assert.equal(pieces.map(({ finish }) => finish).filter(Boolean), ["end"]);
  // Cut inside a character: what was begun is told as U+FFFD, as `decode` has it.
  const tokenizer = await Tokenizer.load();
  const count = ids.findIndex((_, n) => tokenizer.decode(ids.slice(0, n)).endsWith("\ufffd"));
  assert.is(
    joinPieces(await generatePieces(directory, { maxNewTokens: count })),
    tokenizer.decode(ids.slice(0, count)),
  );
});

test("a stop string ends the text across the borders of tokens, and what only looked like one is told", async () => {
  const directory = await scripted("stops", "A stopwatch, then stop-and-go; unstoppable.");
  for (const [stop, expected] of [
    ["stop-", "A stopwatch, then "],
    [["nothing", "and-go;"], "A stopwatch, then stop-"],
    [["watch", "A stop"], ""],
    ["unstoppable!", "A stopwatch, then stop-and-go; unstoppable."],
  ] as const) {
    const pieces = await generatePieces(directory, { stop });
    assert.is(joinPieces(pieces), expected);
    assert.is(pieces.at(-1)!.finish, expected.endsWith(".") ? "end" : "stop");
  }
});

test("the penalty and the largest number of tokens end or change a text", async () => {
  const directory = await scripted("repeats", " go go go go go go", false);
  assert.is(joinPieces(await generatePieces(directory, { maxNewTokens: 4 })), " go go go go");
  assert.is((await generatePieces(directory, { maxNewTokens: 4 })).at(-1)!.finish, "length");
  // The logit of a token that was written falls below 0, that of every other token here.
  const penalized = await generatePieces(directory, { maxNewTokens: 2, repetitionPenalty: 1e9 });
  assert.is(joinPieces(penalized).startsWith(" go"), true);
});

test("leaving the loop frees the model; calls inside the loop and beside it wait for their turn", async () => {
  await withModel(model, async (lm) => {
    for await (const piece of lm.generate("A")) {
      assert.is(piece.prompt, 0);
      break;
    }
    const few = { maxNewTokens: 6 };
    const alone = [await lm.complete("A", few), await lm.complete(["B", "see"], few), await lm.score("a b c")] as const;
    const inside: unknown[] = [];
    const all: GenerationChunk[] = [];
    for await (const piece of lm.generate("A", few))
      if (all.push(piece) === 1) inside.push(await lm.complete(["B", "see"], few), await lm.score("a b c"));
    assert.equal([joinPieces(all), ...inside], [alone[0][0]!.text, ...alone.slice(1)]);
    assert.equal(await Promise.all([lm.complete("A", few), lm.complete(["B", "see"], few), lm.score("a b c")]), [
      ...alone,
    ]);
    assert.is((await lm.complete("BB", { maxNewTokens: 1 })).length, 1);
    assert.equal(await lm.complete([]), []);
    const aborting = new AbortController();
    let pieces = 0;
    try {
      for await (const _ of lm.generate(PROMPTS, { signal: aborting.signal })) if (++pieces === 4) aborting.abort();
      assert.unreachable();
    } catch (error) {
      assert.is((error as Error).name, "AbortError");
    }
    assert.ok(pieces < 12, `${pieces} pieces`);
    assert.is((await lm.complete(["B"], { maxNewTokens: 1 })).length, 1);
  });
});

testOnDevices(
  "a call computes of its prompts what earlier calls have not; the texts are those of a fresh model",
  async () => {
    const options = { maxNewTokens: 4, temperature: 0.9, repetitionPenalty: 1.2 };
    const first = ["Once upon a time", "The quick brown fox", "see you at lunch"];
    const more = " and then it";
    const tokenizer = await Tokenizer.load();
    const sum = (texts: readonly string[]) => texts.reduce((total, text) => total + tokenizer.encode(text).length, 0);
    const { backend, state } = await counting();
    const lm = await LanguageModel.load(model, { device: backend, batchSize: 3 });
    /** What is written, as by a model that has written nothing; and how many tokens of prompts were computed for it. */
    const write = async (prompts: readonly string[], given = options) => {
      state.prefilled = 0;
      const texts = await lm.complete(prompts, given);
      const { prefilled } = state;
      assert.equal(texts, await complete(prompts, given));
      return { texts: texts.map(({ text }, i) => prompts[i] + text), prefilled };
    };
    const begun = await write(first);
    assert.is(begun.prefilled, sum(first));
    // In another order: each continues in its slot.
    const longer = [2, 0, 1].map((i) => begun.texts[i]! + more);
    const { prefilled, texts } = await write(longer);
    const behind = sum(longer) - sum(first);
    assert.ok(prefilled <= behind, `${prefilled} of ${sum(longer)} tokens`);
    assert.is((await write([longer[1]!])).prefilled, 1, "the last token of a prompt is always computed");
    // Left in the middle: what its prompt has written counts.
    for await (const _ of lm.generate(texts[0] + more, options)) break;
    assert.is((await write([texts[0] + more])).prefilled, 1);
    // The context moves: what is in it no longer begins with the prompt.
    const [long] = (await write([texts[0]!], { ...options, maxNewTokens: 2 * T })).texts;
    await write([long!]);
    await lm.score(first.join(" "));
    await write(longer);
    lm.destroy();
  },
);

test("options that are invalid are refused before anything is written", async () => {
  await withModel(model, async (lm) => {
    const wrong: [object, ErrorCode, string][] = [
      [{ maxNewTokens: 0 }, "invalid-value", "maxNewTokens"],
      [{ seed: 0.5 }, "invalid-value", "seed"],
      [{ stop: ["a", ""] }, "invalid-value", "stop string is empty"],
      [{ temperature: -2 }, "invalid-value", "temperature"],
      [{ temprature: 2 }, "unknown-option", "unknown option temprature"],
    ];
    for (const [options, code, words] of wrong)
      await assertFails(code, [words], () => lm.complete(["a"], options as GenerateOptions));
  });
  await assertFails("invalid-value", ["batchSize"], () => withModel(model, async () => {}, { batchSize: 0 }));
});

test("a damaged model is named, not sampled from", async () => {
  const damaged = tinyModel(join(folder, "damaged"), (tensors) => {
    (tensors.get("ln_f.bias")!.data as Float32Array)[3] = Number.NaN;
  });
  await assertFails("not-finite", ["not finite"], () => withModel(damaged, (lm) => lm.complete(["a"])));
});

test("a prompt of a chat is put into the model's template, and its answer ends where that ends one", async () => {
  const chatModel = tinyModel(join(folder, "chat"));
  const write = (template: string) =>
    writeFileSync(join(chatModel, "tokenizer_config.json"), JSON.stringify({ chat_template: template }));
  const options = { maxNewTokens: 12 };
  const [plain] = await complete(["Say: x"], options);
  const answer = (given: GenerateOptions) => withModel(chatModel, (lm) => lm.complete("x", { ...options, ...given }));
  write("Say: {% for message in messages %}{{ message.content }}{% endfor %}");
  assert.equal(await answer({ chat: true }), [plain]);
  assert.not.equal(await answer({}), [plain]);
  // The fourth token of the answer becomes one that ends answers.
  const end = (await Tokenizer.load()).decode(plain!.ids.slice(3, 4));
  const id = plain!.ids[3]!;
  assert.not.ok(plain!.text.slice(0, plain!.text.indexOf(end)).includes(end));
  writeFileSync(
    join(chatModel, "tokenizer.json"),
    JSON.stringify({ ...fastGpt2(end), added_tokens: [{ id, content: end, special: true, normalized: false }] }),
  );
  write(
    `Say: {% for message in messages %}{{ message.content }}{% if message.role != "user" %}${end}{% endif %}{% endfor %}`,
  );
  const [ended] = await answer({ chat: true, stop: "never" });
  assert.equal([ended!.finish, ended!.text], ["stop", plain!.text.slice(0, plain!.text.indexOf(end))]);
  await assertFails("no-chat-template", [], () => complete(["x"], { chat: true }));
  // With the messages before it.
  write("{% for message in messages %}{{ message.role[0] }}{{ message.content }};{% endfor %}");
  const messages = [
    { role: "system", content: "a" },
    { role: "user", content: "b" },
    { role: "assistant", content: "c" },
    { role: "user", content: "d" },
  ];
  const [rendered, chatted] = await withModel(chatModel, (lm) => lm.complete(["sa;ub;ac;ud;", messages], options));
  assert.equal(chatted, rendered);
  // Longer than the context: whole turns go, at every turn the same ones until there is no room again.
  const system = { role: "system", content: "a" };
  const turns = Array.from({ length: 20 }, (_, i) => [
    { role: "user", content: ` the ${i % 10}` },
    { role: "assistant", content: " sea" },
  ]).flat();
  const OMITTED = [0, 0, 0, 0, 0, 0, 0, 0, 6, 6, 10, 10, 10, 14, 14, 18, 18, 22, 22, 26];
  await withModel(chatModel, async (lm) => {
    for (const [turn, omitted] of OMITTED.entries()) {
      const count = 2 * turn + 1;
      const rest = [system, ...turns.slice(omitted, count)]
        .map(({ role, content }) => `${role[0]}${content};`)
        .join("");
      const chat = [system, ...turns.slice(0, count)];
      const [whole, window] = await lm.complete([chat, rest], { maxNewTokens: 4 });
      assert.equal([whole, whole!.forgotten], [{ ...window!, omitted }, 0]);
    }
    const tooLong = [{ role: "user", content: " sea".repeat(2 * T) }];
    const [completion] = await lm.complete([[system, ...turns.slice(0, 2), ...tooLong]], { maxNewTokens: 4 });
    assert.equal([completion!.omitted, completion!.forgotten > T], [2, true]);
  });
  await assertFails("invalid-messages", ["prompts[1]", '"role"'], () =>
    withModel(chatModel, (lm) => lm.complete(["a", [{ role: "user" } as never]])),
  );
});

/** GPT-2's vocabulary as a tokenizer.json, in which this word is no token that texts have. */
function fastGpt2(word: string): object {
  const micro = (file: string) => readFileSync(packagePath(`data/models/gpt2-micro/${file}`), "utf8");
  const merges = micro("merges.txt")
    .trimEnd()
    .split("\n")
    .slice(1)
    .filter((pair) => pair.replace(" ", "") !== word);
  return {
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
    model: { type: "BPE", vocab: JSON.parse(micro("vocab.json")), merges },
  };
}
