/** The decoder: what it makes token by token is what the whole model makes at once, whoever else is in the cache. */
import * as assert from "uvu/assert";
import { textContext } from "../../src/core/config.ts";
import { Rng } from "../../src/core/rng.ts";
import { Decoder } from "../../src/engine/decoder.ts";
import { Engine } from "../../src/engine/engine.ts";
import { promptLength } from "../../src/model/batch.ts";
import { buildDecoder } from "../../src/model/decoder.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { checkMemory } from "../../src/plan/check-memory.ts";
import { memoryTotals } from "../../src/plan/memory.ts";
import { assertAllClose, relativeError } from "../helpers/allclose.ts";
import { assertFails, assertSameBits } from "../helpers/border.ts";
import { BOTH, CPU, testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, LLAMA, RELATIVE, SMALL, smallSpec } from "../helpers/models.ts";

/** The same sums in another order: f32's rounding through two blocks, relative to the norm. */
const ROUNDING = 2e-6;
const LOSS = { atol: 1e-5, rtol: 1e-5 };
const V = SMALL.vocab_size;

async function withDecoder<T>(
  spec: ModelSpec,
  body: (decoder: Decoder) => Promise<T>,
  { tokens = 40, sequences = 4, maxBinding = Infinity } = {},
): Promise<T> {
  const decoder = await Decoder.create(await testDevice(), { spec, capacity: { tokens, sequences }, maxBinding });
  try {
    fillRandom(decoder, 11);
    return await body(decoder);
  } finally {
    decoder.destroy();
  }
}

/** Token ids of sequences of these lengths. */
function drawSequences(lengths: readonly number[], seed = 5): number[][] {
  const rng = new Rng(seed);
  return lengths.map((length) => Array.from({ length }, () => rng.below(V)));
}

/** The logits [tokens, V] of every token of a sequence, by the engine that trains. */
async function wholeLogits(spec: ModelSpec, sequences: readonly number[][]): Promise<Float32Array[]> {
  const engine = await Engine.create(await testDevice(), {
    spec,
    capacity: { tokens: SMALL.n_positions, sequences: 1 },
    optimizer: null,
  });
  fillRandom(engine, 11);
  const all = [];
  for (const ids of sequences) {
    const starts = Uint32Array.of(0, ids.length);
    const targets = new Int32Array(ids.length);
    engine.forward({ ids: Uint32Array.from(ids), starts, rows: new Uint32Array(), targets });
    // A prompt's virtual tokens are rows of their own.
    const virtual = spec.mode === "prompt" ? spec.num_virtual_tokens! : 0;
    all.push((await engine.logits(virtual + ids.length)).subarray(virtual * V));
  }
  engine.destroy();
  return all;
}

/** Rows in whole blocks of q8. */
const WIDE = { n_embd: 64, n_head: 4 };
const GREEDY = { seed: 1, stream: 0, number: 0, choices: V, temperature: 0, top_k: 0, top_p: 1, penalty: 1 };
const logitsRow = (logits: Float32Array, row: number) => logits.subarray(row * V, (row + 1) * V);

function assertNear(what: string, found: Float32Array, expected: Float32Array): void {
  const error = relativeError(found, expected);
  assert.ok(error <= ROUNDING, `${what} is off by ${error}`);
}

const lm = { objective: "lm" } as const;

for (const [name, spec, maxBinding] of [
  ["plain", smallSpec("all", lm), Infinity],
  ["adapters", smallSpec("lora", lm), Infinity],
  ["a relative of GPT-2, in pieces", smallSpec("lora", { ...lm, config: RELATIVE }), 4096],
  ["a Llama-type model, in pieces", smallSpec("lora", { ...lm, config: LLAMA }), 4096],
  ["a Llama-type model with a prefix", smallSpec("prefix", { ...lm, config: LLAMA }), Infinity],
  ["one adapter for q, k and v", smallSpec("lora", { ...lm, targets: ["c_attn", "head"], r: 1 }), Infinity],
  ["DoRA", smallSpec("lora", { ...lm, dora: true }), Infinity],
  // So small that the token table comes in three pieces.
  ["pieces", smallSpec("lora", lm), 4096],
  ["adapter layers", smallSpec("adapter", lm), Infinity],
  ["a prompt, in pieces", smallSpec("prompt", lm), 4096],
  ["a prefix", smallSpec("prefix", lm), Infinity],
] as const)
  testOnDevices(`token by token is the whole sequence at once: ${name}`, async () => {
    const sequences = drawSequences([9, textContext(spec.config, spec), 1, 14]);
    const prompts = [4, 11, 1, 13];
    const whole = await wholeLogits(spec, sequences);
    await withDecoder(
      spec,
      async (decoder) => {
        const begun = sequences.map((ids, slot) => ({ slot, position: 0, ids: ids.slice(0, prompts[slot]) }));
        const first = await decoder.prefill(begun);
        begun.forEach(({ ids }, i) => {
          assertNear(`prompt ${i}`, logitsRow(first, i), logitsRow(whole[i]!, ids.length - 1));
        });
        for (let step = 0; step < SMALL.n_positions; step++) {
          const going = sequences.flatMap((ids, slot) => {
            const position = prompts[slot]! + step;
            return position < ids.length ? [{ slot, position, ids: [ids[position]!] }] : [];
          });
          if (going.length === 0) break;
          const logits = await decoder.decode(going);
          going.forEach(({ slot, position }, i) => {
            assertNear(`slot ${slot}, position ${position}`, logitsRow(logits, i), logitsRow(whole[slot]!, position));
          });
        }
      },
      { maxBinding },
    );
  });

testOnDevices("who else is in the batch, and where a prefill is cut, changes no bit", async () => {
  const spec = smallSpec("lora", lm);
  const sequences = drawSequences([7, 12, 3, 5]);
  const stretches = sequences.map((ids, slot) => ({ slot, position: 0, ids }));
  const next = sequences.map((ids, slot) => ({ slot, position: ids.length, ids: [slot + 1] }));
  const run = (tokens: number) =>
    withDecoder(
      spec,
      async (decoder) => ({ first: await decoder.prefill(stretches), second: await decoder.decode(next) }),
      { tokens },
    );
  const together = await run(40);
  for (const tokens of [4, 5, 12, 27]) {
    const cut = await run(tokens);
    assertSameBits(`a prefill of ${tokens}`, cut.first, together.first);
    assertSameBits(`behind a prefill of ${tokens}`, cut.second, together.second);
  }
  for (const [i, stretch] of stretches.entries())
    await withDecoder(spec, async (decoder) => {
      const slot = 3 - i;
      assertSameBits(
        `prompt ${i}`,
        await decoder.prefill([{ ...stretch, slot }]),
        logitsRow(together.first, i).slice(),
      );
      const alone = await decoder.decode([{ ...next[i]!, slot }]);
      assertSameBits(`token behind prompt ${i}`, alone, logitsRow(together.second, i).slice());
    });
});

testOnDevices("DoRA's norms are computed after a parameter was written, and not for each token", async () => {
  const spec = smallSpec("lora", { ...lm, dora: true });
  const [ids] = drawSequences([9]);
  const name = "lora.h.1.mlp.fc.B";
  const run = async (decoder: Decoder, position: number) => {
    await decoder.prefill([{ slot: 0, position, ids: ids! }]);
    return decoder.decode([{ slot: 0, position: position + ids!.length, ids: [3] }]);
  };
  const B = Float32Array.from({ length: 3 * 4 * SMALL.n_embd }, (_, i) => Math.sin(i));
  const written = await withDecoder(spec, async (decoder) => {
    const before = await run(decoder, 0);
    assert.equal(
      decoder.withDerived(["decode"], (segments) => segments),
      ["decode"],
    );
    decoder.writeParameter(name, B);
    assert.equal(decoder.plan.segments[0]!.name, "derived");
    const after = await run(decoder, 0);
    assert.ok(relativeError(after, before) > 0.01, "the adapter changed nothing");
    return after;
  });
  await withDecoder(spec, async (decoder) => {
    decoder.writeParameter(name, B);
    assertSameBits("logits", await run(decoder, 0), written);
  });
});

testOnDevices("a slot is reused, and a sequence continues in chunks", async () => {
  const spec = smallSpec("all", lm);
  const [old, ids] = drawSequences([20, 15]);
  const [whole] = await wholeLogits(spec, [ids!]);
  await withDecoder(spec, async (decoder) => {
    await decoder.prefill([{ slot: 2, position: 0, ids: old! }]);
    await decoder.prefill([{ slot: 2, position: 0, ids: ids!.slice(0, 6) }]);
    const logits = await decoder.prefill([{ slot: 2, position: 6, ids: ids!.slice(6) }]);
    assertNear("logits", logits, logitsRow(whole!, 14));
  });
});

for (const [name, spec, isAlike] of [
  ["LoRA", smallSpec("lora", lm), false],
  ["a Llama-type model", smallSpec("all", { ...lm, config: LLAMA }), true],
  ...(["f16", "q8", "int16"] as const).map(
    (dtype) => [dtype, { ...smallSpec("bitfit", { ...lm, config: WIDE }), dtype } as ModelSpec, true] as const,
  ),
  ["a prompt", smallSpec("prompt", lm), true],
  ["a prefix", smallSpec("prefix", lm), true],
] as const)
  testOnDevices(
    `what a slot holds is not computed again, and changes no bit: ${name}`,
    async () => {
      const { kind } = (await testDevice()).info;
      const [ids, other] = drawSequences([14, 9]);
      const virtual = promptLength(spec);
      await withDecoder(spec, async (decoder) => {
        let tokens = 0;
        const run = decoder.session.run.bind(decoder.session);
        decoder.session.run = (segments, values) => {
          tokens += values.tokens;
          run(segments, values);
        };
        /** Of a prompt: how many tokens are computed, and the logits behind one more token. */
        const write = async (some: readonly number[], slot: number) => {
          tokens = 0;
          await decoder.sampleFirst([{ slot, position: 0, ids: some, draw: { ...GREEDY, to: 0 } }]);
          const count = tokens;
          return { count, logits: await decoder.decode([{ slot, position: some.length, ids: [7] }]) };
        };
        const prompt = ids!.slice(0, 12);
        const whole = await write(prompt, 0);
        assert.is(whole.count, 12 + virtual);
        const check = async (what: string, count: number) => {
          const found = await write(prompt, 1);
          assert.is(found.count, count, what);
          assertSameBits(what, found.logits, whole.logits);
        };
        await write(ids!.slice(0, 7), 1);
        await check("a longer prompt", 5);
        await check("the same prompt", 1);
        await write(other!, 1);
        await write([...ids!.slice(0, 4), ...other!], 1);
        await check("behind the first tokens", 8);
        await decoder.prefill([{ slot: 1, position: 5, ids: other! }]);
        await check("written over from the middle", 7);
        await write(ids!.slice(0, 5), 1);
        for (const position of [5, 6, 7]) await decoder.decode([{ slot: 1, position, ids: [ids![position]!] }]);
        decoder.holdChosen(1, ids!.slice(0, 8));
        await check("behind tokens that the device chose", kind === "wasm" && isAlike ? 4 : 7);
        await decoder.losses({ slot: 1, position: 0, ids: other! }, other!);
        await check("behind a text that was scored", 12 + virtual);
        const { session } = decoder;
        const read = session.read.bind(session);
        session.read = () => Promise.reject(new Error("lost"));
        assert.is((await write(other!, 1).catch((error) => error)).message, "lost");
        session.read = read;
        await check("after a failure", 12 + virtual);
        await write(prompt, 0);
        await write(other!, 2);
        assert.is(decoder.chooseSlot(ids!, [2, 3, 1]), 1, "the slot that holds the prompt");
        assert.is(decoder.chooseSlot(ids!.slice(0, 2), [0, 2, 3]), 3, "an empty one rather than one that holds more");
        assert.is(decoder.chooseSlot(ids!.slice(2), [0, 2]), 2, "the one that holds less");
        decoder.writeParameter("ln_f.weight", await decoder.readParameter("ln_f.weight"));
        await check("after a parameter was written", 12 + virtual);
      });
    },
    spec.dtype === "int16" ? [CPU] : BOTH,
  );

testOnDevices("losses are those of the logits", async () => {
  for (const [spec, maxBinding] of [
    [smallSpec("lora", lm), Infinity],
    [smallSpec("all", lm), 4096],
  ] as const) {
    const [ids, targets] = drawSequences([SMALL.n_positions, SMALL.n_positions]);
    const [logits] = await wholeLogits(spec, [ids!]);
    const expected = targets!.map((target, n) => {
      const row = logitsRow(logits!, n);
      return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[target]!;
    });
    for (const tokens of [40, 7]) {
      const stretch = { slot: 1, position: 0, ids: ids! };
      const losses = await withDecoder(spec, (decoder) => decoder.losses(stretch, targets!), { tokens, maxBinding });
      assertAllClose(`losses by ${tokens}`, losses, expected, LOSS);
    }
  }
});

test("the cache is in the plan's memory, and one that is too large is refused by name", async () => {
  const spec = smallSpec("all", lm);
  const plan = buildDecoder({ spec, capacity: { tokens: 8, sequences: 5 }, maxBinding: Infinity });
  const cache = memoryTotals(plan.memory).byRole.get("cache");
  assert.is(cache, 5 * SMALL.n_layer * SMALL.n_positions * 2 * SMALL.n_embd * 4);
  const { total } = memoryTotals(plan.memory);
  const limits = { maxBinding: 2 ** 31, maxBuffer: 2 ** 31 };
  checkMemory(plan.memory, { ...limits, total });
  const large = buildDecoder({ spec, capacity: { tokens: 1000, sequences: 1000 }, maxBinding: Infinity });
  await assertFails("out-of-memory", ["keys and values", "fewer texts"], () =>
    checkMemory(large.memory, { ...limits, total }),
  );
  await assertFails("buffer-too-large", ["cache.0", "fewer texts"], () =>
    checkMemory(large.memory, { ...limits, maxBinding: 2 ** 20 }),
  );
  await assertFails("wrong-task", ["classifier"], () =>
    buildDecoder({ spec: smallSpec("all"), capacity: { tokens: 8, sequences: 5 }, maxBinding: Infinity }),
  );
  await assertFails("invalid-value", ["4 tokens, 5 sequences"], () =>
    buildDecoder({ spec, capacity: { tokens: 4, sequences: 5 }, maxBinding: Infinity }),
  );
});

testOnDevices("what does not fit the cache or the vocabulary is refused, with what was found", async () => {
  await withDecoder(smallSpec("all", lm), async (decoder) => {
    const good = { slot: 0, position: 0, ids: [1, 2] };
    const T = SMALL.n_positions;
    for (const [change, code, words] of [
      [{ slot: 4 }, "cache-exceeded", "slot 4"],
      [{ slot: -1 }, "cache-exceeded", "slot -1"],
      [{ position: T - 1 }, "cache-exceeded", `positions ${T - 1} to ${T}`],
      [{ ids: [1, V] }, "token-out-of-range", `${V}`],
    ] as const)
      await assertFails(code, [words], () => decoder.prefill([{ ...good, ...change }]));
    await assertFails("cache-exceeded", ["one token each"], () => decoder.decode([good]));
    const five = Array.from({ length: 5 }, (_, slot) => ({ slot, position: 0, ids: [1] }));
    await assertFails("cache-exceeded", ["at most 4"], () => decoder.decode(five));
  });
});
