/** Choosing tokens, against definitions written out one by one; and text that ends at a string. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../src/error-codes.ts";
import { ConfigError, DataError } from "../../src/errors.ts";
import { checkSampling, GREEDY, Sampler, type SamplingOptions } from "../../src/infer/sampling.ts";
import { StopStrings } from "../../src/infer/stop-strings.ts";
import { Rng } from "../../src/rng.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const V = 97;

function randomLogits(seed: number, scale = 2): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: V }, () => rng.normal() * scale);
}

/** The probability of every token, each processor of transformers written out on a sorted list. */
function probabilities(
  logits: Float32Array,
  seen: number[],
  { temperature, topK, topP, repetitionPenalty }: SamplingOptions,
): number[] {
  let tokens = [...logits].map((logit, id) => {
    const penalized = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    return { id, logit: (seen.includes(id) ? penalized : logit) / temperature };
  });
  tokens.sort((a, b) => b.logit - a.logit);
  if (topK > 0) tokens = tokens.filter(({ logit }) => logit >= tokens[Math.min(topK, V) - 1]!.logit);
  const softmax = () => {
    const sum = tokens.reduce((total, { logit }) => total + Math.exp(logit), 0);
    return tokens.map(({ id, logit }) => ({ id, logit, p: Math.exp(logit) / sum }));
  };
  // A token goes if it and all that are less likely have no more than 1 - topP together.
  const all = softmax();
  if (topP < 1) tokens = all.filter((_, i) => i === 0 || all.slice(i).reduce((sum, { p }) => sum + p, 0) > 1 - topP);
  const result = new Array(V).fill(0);
  for (const { id, p } of softmax()) result[id] = p;
  return result;
}

const DRAWS = 5000;

for (const change of [
  { temperature: 1 },
  { temperature: 0.6 },
  { temperature: 1.7, topK: 5 },
  { temperature: 1, topK: 1 },
  { temperature: 1, topK: V + 3 },
  { temperature: 1, topP: 0.5 },
  { temperature: 1, topP: 0.95 },
  { temperature: 1, topP: 1e-6 },
  { temperature: 0.8, topK: 30, topP: 0.7, repetitionPenalty: 1.4 },
  { temperature: 1, repetitionPenalty: 0.8 },
] as Partial<SamplingOptions>[])
  test(`draws follow the definition: ${JSON.stringify(change)}`, () => {
    const options = { ...GREEDY, ...change };
    checkSampling(options);
    const seen = [3, 50, 8, 91];
    for (const seed of [1, 2]) {
      const expected = probabilities(randomLogits(seed), seen, options);
      const sampler = new Sampler(options, new Rng(seed));
      const counts = new Array(V).fill(0);
      for (let i = 0; i < DRAWS; i++) counts[sampler.pick(randomLogits(seed), seen)]++;
      expected.forEach((p, id) => {
        if (p === 0) assert.is(counts[id], 0, `token ${id} must not be drawn`);
        // Five standard deviations of the binomial distribution, and three draws.
        const spread = 5 * Math.sqrt(DRAWS * p * (1 - p)) + 3;
        assert.ok(Math.abs(counts[id] - DRAWS * p) <= spread, `token ${id}: ${counts[id]} of ${DRAWS * p}`);
      });
      const drawn = counts.filter((count) => count > 0).length;
      assert.ok(drawn >= expected.filter((p) => p > 1e-2).length, `${drawn} tokens drawn`);
    }
  });

test("greedy takes the largest, the first of equals, after the penalty", () => {
  const greedy = (logits: number[], seen: number[] = [], repetitionPenalty = 1) =>
    new Sampler({ ...GREEDY, repetitionPenalty }, new Rng(1)).pick(Float32Array.from(logits), seen);
  assert.is(greedy([1, 3, 2, 3]), 1);
  assert.is(greedy([-5, -3, -4]), 1);
  assert.is(greedy([1, 3, 2, 2.5], [1], 2), 3);
  assert.is(greedy([-2, -1.5, -4], [1], 2), 0);
});

test("equals of the last of the top k stay, and large tables are cut as small ones are", () => {
  const logits = () => Float32Array.of(1, 2, 2, 2, 0);
  const sampler = new Sampler({ ...GREEDY, temperature: 1, topK: 2 }, new Rng(3));
  const found = new Set(Array.from({ length: 200 }, () => sampler.pick(logits(), [])));
  assert.equal([...found].sort(), [1, 2, 3]);
  const rng = new Rng(4);
  const large = Float32Array.from({ length: 50_257 }, () => rng.normal());
  const order = [...large.keys()].sort((a, b) => large[b]! - large[a]!);
  for (const topK of [1, 7, 100]) {
    const one = new Sampler({ ...GREEDY, temperature: 5, topK }, new Rng(5));
    const allowed = new Set(order.slice(0, topK));
    for (let i = 0; i < 50; i++) assert.ok(allowed.has(one.pick(large.slice(), [])));
  }
});

test("the same seed draws the same, another one another", () => {
  const draw = (seed: number) => {
    const sampler = new Sampler({ ...GREEDY, temperature: 1 }, new Rng(seed));
    return Array.from({ length: 30 }, () => sampler.pick(randomLogits(6), []));
  };
  assert.equal(draw(1), draw(1));
  assert.not.equal(draw(1), draw(2));
});

test("what is out of range is refused, and so are logits that are no numbers", async () => {
  const wrong: [Partial<SamplingOptions>, ErrorCode, string][] = [
    [{ temperature: -1 }, "invalid-value", "temperature"],
    [{ temperature: Number.NaN }, "invalid-value", "temperature"],
    [{ temperature: 1, topK: 1.5 }, "invalid-value", "topK"],
    [{ temperature: 1, topK: -1 }, "invalid-value", "topK"],
    [{ temperature: 1, topP: 0 }, "invalid-value", "topP"],
    [{ temperature: 1, topP: 1.1 }, "invalid-value", "topP"],
    [{ repetitionPenalty: 0 }, "invalid-value", "repetitionPenalty"],
    [{ topK: 5 }, "option-without-effect", "temperature"],
    [{ topP: 0.5 }, "option-without-effect", "temperature"],
  ];
  for (const [change, code, words] of wrong)
    await assertFails(ConfigError, code, [words], () => checkSampling({ ...GREEDY, ...change }));
  for (const temperature of [0, 1])
    for (const bad of [
      [Number.NaN, 1],
      [1, Number.NaN, 2],
      [1, Infinity],
      [-Infinity, -Infinity],
    ])
      await assertFails(DataError, "not-finite", ["not finite"], () =>
        new Sampler({ ...GREEDY, temperature }, new Rng(1)).pick(Float32Array.from(bad), []),
      );
});

/** Words over a small alphabet, of `least` to `most` letters. */
function words(least: number, most: number): string[] {
  const all: string[][] = [[""]];
  for (let length = 1; length <= most; length++)
    all.push(["a", "b"].flatMap((x) => all[length - 1]!.map((w) => w + x)));
  return all.slice(least).flat();
}

/** What is told of a text once its first `length` letters are there, letter by letter. */
function toldText(text: string, strings: readonly string[]): { told: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const starts = strings.filter((s) => text.slice(0, end).endsWith(s)).map((s) => end - s.length);
    if (starts.length > 0) return { told: text.slice(0, Math.min(...starts)), stopped: true };
  }
  const mayGoOn = (from: number) => strings.some((s) => s.startsWith(text.slice(from)));
  const held = Array.from(text, (_, from) => from).find(mayGoOn) ?? text.length;
  return { told: text.slice(0, held), stopped: false };
}

test("stop strings: every text of up to six letters, in every split, against every pair of strings", () => {
  const pairs = words(1, 3).flatMap((one, i, all) => all.slice(i).map((other) => [one, other]));
  const longer = words(4, 4).map((one) => [one]);
  for (const strings of [...pairs, ...longer])
    for (const text of words(6, 6)) {
      const expected = Array.from({ length: text.length + 1 }, (_, end) => toldText(text.slice(0, end), strings));
      for (let cuts = 0; cuts < 1 << (text.length - 1); cuts++) {
        const stops = new StopStrings(strings);
        let told = "";
        for (let from = 0, end = 1; end <= text.length && !stops.stopped; end++) {
          if (end < text.length && !((cuts >> (end - 1)) & 1)) continue;
          told += stops.push(text.slice(from, end));
          from = end;
          if (told !== expected[end]!.told || stops.stopped !== expected[end]!.stopped)
            assert.unreachable(`${strings} in ${text}, cuts ${cuts.toString(2)}: "${told}" after ${end}`);
        }
        if (!stops.stopped) assert.is(told + stops.end(), text);
      }
    }
});

test("a text ends before a stop string, wherever it is cut", () => {
  const cases: [string, string[], string][] = [
    ["one two three", ["two"], "one "],
    ["one two three", ["three", "two"], "one "],
    ["one two three", ["four"], "one two three"],
    ["aaab and more", ["aab"], "a"],
    ["ababac", ["abac"], "ab"],
    ["say 😀😁 now", ["😁"], "say 😀"],
    ["\n\nUser: hi", ["\nUser:"], "\n"],
    ["no stops", [], "no stops"],
    ["ends with st", ["stop"], "ends with st"],
  ];
  for (const [text, strings, expected] of cases)
    for (let size = 1; size <= text.length; size++) {
      const stops = new StopStrings(strings);
      let told = "";
      for (let at = 0; at < text.length && !stops.stopped; at += size) {
        told += stops.push(text.slice(at, at + size));
        assert.ok(expected.startsWith(told), `${told} of ${expected}`);
      }
      assert.is(stops.stopped, expected !== text);
      assert.is(told + stops.end(), expected, `${text} in pieces of ${size}`);
    }
});
