/** What a language model computes in the check of a WebGPU device. */
import type { Decoder } from "../engine/decoder.ts";
import type { Result } from "../engine/device-check.ts";
import { NO_VALUES } from "../ops/kernel.ts";
import { type Draw, encodeDraws } from "../ops/sample.ts";
import type { CreateWork } from "./model-kind.ts";

/** A prompt and its reverse, one more token of each, how well the prompt is predicted, and a choice of tokens. */
export const createWork: CreateWork<Decoder> = (prompt, hasNext) => {
  const { length } = prompt;
  const prompts = [prompt, prompt.toReversed()].map((ids, slot) => ({ slot, position: 0, ids }));
  const next = prompts.map(({ slot }) => ({ slot, position: length, ids: [length] }));
  async function pass(decoder: Decoder): Promise<Result[]> {
    const rows = countRows(decoder);
    const results: Result[] = [["the result of a prompt", await decoder.prefill(prompts.slice(0, rows))]];
    if (hasNext) results.push(["the result of the next token", await decoder.decode(next.slice(0, rows))]);
    return results;
  }
  return {
    name: "generation",
    pass,
    results: async (decoder) => [
      ...(await pass(decoder)),
      ["the losses of a prompt", Float32Array.from(await decoder.losses(prompts[0]!, prompt.toReversed()))],
      ["the tokens that are drawn", await draw(decoder)],
    ],
  };
};

/** A model may generate one text at a time. */
const countRows = ({ plan }: Decoder) => Math.min(2, plan.capacity.sequences);

/** The largest of logits after a penalty, and one that is drawn; of logits that differ by far more than rounding. */
async function draw(decoder: Decoder): Promise<Float32Array> {
  const { session, plan } = decoder;
  const { vocab_size: V } = plan.spec.config;
  const rows = countRows(decoder);
  const common = { seed: 1, number: 0, choices: V };
  const draws: Draw[] = [
    { ...common, slot: 0, to: 0, stream: 0, temperature: 0.8, top_k: 20, top_p: 0.87, penalty: 1 },
    { ...common, slot: 1, to: 1, stream: 1, temperature: 0, top_k: 0, top_p: 1, penalty: 3 },
  ];
  const logits = Float32Array.from({ length: rows * V }, (_, i) => (8 * ((i * 31) % V)) / V);
  session.write(plan.logits, logits);
  session.write(plan.inputs.draws, encodeDraws(draws.slice(0, rows)));
  const seen = [...Array(V).keys()].filter((id) => id % 3 > 0);
  for (let slot = 0; slot < rows; slot++) decoder.markSeen(slot, seen);
  session.run(["sample"], { ...NO_VALUES, slots: rows });
  const ids = await session.read(plan.sampled.drawn, 0, rows);
  return Float32Array.from(new Uint32Array(ids.buffer, ids.byteOffset, rows));
}
