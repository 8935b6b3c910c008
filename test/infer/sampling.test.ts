/** The options of sampling; and text that ends at a string. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { checkSampling, drawOptions, GREEDY, type SamplingOptions } from "../../src/infer/text/sampling.ts";
import { StopStrings } from "../../src/infer/text/stop-strings.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

test("what is out of range is refused", async () => {
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
    await assertFails(code, [words], () => checkSampling({ ...GREEDY, ...change }));
});

test("what f32 cannot divide by is as good as 0, and a share is never 0", () => {
  const { temperature, top_k, top_p } = drawOptions({ ...GREEDY, temperature: 1e-40, topK: 1e12, topP: 1e-60 });
  assert.equal([temperature, top_k > 1e9 && top_k < 2 ** 32, Math.fround(top_p) > 0], [0, true, true]);
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
