/** Generation and scores of transformers with gpt2-micro, alone and with a PEFT adapter, token for token. */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import type { GenerateOptions } from "../../src/infer/text/generation.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";

/** Made by test/exchange/generation.py; the versions are in it. */
interface Expected {
  greedy: number[][];
  penalty: number[][];
  score: { tokens: number; loss: number };
}
const fixture = JSON.parse(readFileSync(packagePath("test/golden/generation/generation.json"), "utf8")) as {
  versions: Record<string, string>;
  prompts: string[];
  tokens: number;
  repetition_penalty: number;
  plain: Expected;
  adapter: Expected;
};

/** float32 on both sides. */
const LOSS = { atol: 0, rtol: 1e-5 };

for (const { name, adapter, batchSize, counts } of [
  // All prompts at the same time; with an adapter, enough to see that it is the right one, in turns, a few rows a step.
  { name: "plain", batchSize: fixture.prompts.length, counts: [fixture.prompts.length, 5] },
  { name: "adapter", adapter: packagePath("test/golden/generation/lm-adapter"), batchSize: 2, counts: [3, 1] },
] as const)
  testOnDevices(`greedy writing and scores are those of transformers: ${name}`, async () => {
    const { prompts, tokens, repetition_penalty: repetitionPenalty, [name]: expected } = fixture;
    const device = await testDevice();
    const lm = await LanguageModel.load(adapter ?? "gpt2-micro", {
      device,
      batchSize,
      ...(adapter && { model: "gpt2-micro" }),
    });
    try {
      const ids = async (some: string[], options: GenerateOptions) =>
        (await lm.complete(some, options)).map((completion) => completion.ids);
      // The software driver is slow; what is written later, engine/decoder.test.ts compares on it.
      const [some, few, most] = device.info.kind === "webgpu" ? [4, 1, 10] : [...counts, tokens];
      const first = (written: number[][], count: number) => written.slice(0, count).map((ids) => ids.slice(0, most));
      const options = { maxNewTokens: most };
      assert.equal(await ids(prompts.slice(0, some), options), first(expected.greedy, some));
      assert.equal(await ids(prompts.slice(0, few), { ...options, repetitionPenalty }), first(expected.penalty, few));
      const score = await lm.score(prompts.join("\n"));
      assert.is(score.tokens, expected.score.tokens);
      assertAllClose("loss", [score.loss], [expected.score.loss], LOSS);
    } finally {
      lm.destroy();
    }
  });
