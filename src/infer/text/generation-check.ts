/** What a language model computes in the check of a WebGPU device. */
import type { Backend } from "../../backend/backend.ts";
import { textContext } from "../../core/config.ts";
import { excerptBatch, type Work } from "../../engine/check-work.ts";
import type { Decoder } from "../../engine/decoder.ts";
import type { DecoderPlan } from "../../model/decoder.ts";
import { NO_VALUES } from "../../ops/kernel.ts";
import { type Draw, encodeDraws } from "../../ops/sample.ts";

/**
 * Two prompts, one more token of each, how well a prompt is predicted, and a choice of tokens. `make`: what makes
 * decoders, which a page has in another script.
 */
export function generationWork(
  { info: { software } }: Pick<Backend, "info">,
  plan: DecoderPlan,
  make: typeof Decoder,
): Work<Decoder> {
  // Kernels are chosen by the number of sequences.
  const { sequences } = plan.capacity;
  return {
    name: "generation",
    spec: plan.spec,
    programs: [plan],
    create(backend, spec) {
      const tokens = Math.max(2 * excerptBatch(spec, software).ids.length, sequences);
      return make.create(backend, { spec, capacity: { tokens, sequences } });
    },
    async pass(decoder) {
      const { spec } = decoder.plan;
      const { ids, starts } = excerptBatch(spec, software);
      const context = textContext(spec.config, spec);
      // A model may generate one text at a time.
      const prompts = [0, 1].slice(0, sequences).map((slot) => ({
        slot,
        position: 0,
        ids: ids.slice(starts[slot], Math.min(starts[slot + 1]!, starts[slot]! + Math.max(1, context - 1))),
      }));
      await decoder.prefill(prompts);
      const next = prompts.map(({ slot, ids }) => ({ slot, position: ids.length, ids: [slot] }));
      if (next.every(({ position }) => position < context)) await decoder.decode(next);
      await decoder.losses(prompts[0]!, prompts[0]!.ids.toReversed());
      await draw(decoder, prompts.length);
    },
  };
}
/** The largest of logits after a penalty, and one that is drawn; of logits that differ by far more than rounding. */
async function draw(decoder: Decoder, rows: number): Promise<void> {
  const { session, plan } = decoder;
  const { vocab_size: V } = plan.spec.config;
  const common = { seed: 1, number: 0, choices: V };
  const draws: Draw[] = [
    { ...common, slot: 0, to: 0, stream: 0, temperature: 0.8, top_k: 20, top_p: 0.87, penalty: 1 },
    { ...common, slot: 1, to: 1, stream: 1, temperature: 0, top_k: 0, top_p: 1, penalty: 3 },
  ];
  session.write(
    plan.logits,
    Float32Array.from({ length: rows * V }, (_, i) => (8 * ((i * 31) % V)) / V),
  );
  session.write(plan.inputs.draws, encodeDraws(draws.slice(0, rows)));
  const seen = [...Array(V).keys()].filter((id) => id % 3 > 0);
  for (let slot = 0; slot < rows; slot++) decoder.markSeen(slot, seen);
  session.run(["sample"], { ...NO_VALUES, slots: rows });
  await session.read(plan.sampled.drawn, 0, rows);
}
