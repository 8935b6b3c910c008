/** What a language model computes in the check of a WebGPU device. */
import type { Backend } from "../../backend/backend.ts";
import { textContext } from "../../config.ts";
import { countTokens, excerptBatch, type Work } from "../../engine/check-work.ts";
import type { Decoder } from "../../engine/decoder.ts";
import type { DecoderPlan } from "../../model/decoder.ts";
import type { ModelSpec } from "../../model/trainable.ts";
import { NO_VALUES } from "../../ops/kernel.ts";
import { type Draw, encodeDraws } from "../../ops/sample.ts";

/**
 * Two prompts, one more token of each, how well a prompt is predicted, and a choice of tokens. `make`: what makes
 * decoders, which a page has in another script.
 */
export function generationWork(
  device: Pick<Backend, "limits" | "info">,
  plan: DecoderPlan,
  make: typeof Decoder,
): Work<Decoder> {
  const { spec, capacity } = plan;
  // A model may generate one text at a time.
  const rows = Math.min(2, capacity.sequences);
  const tokens = countTokens(spec, device.info.software);
  // Kernels are chosen by the number of sequences.
  const { sequences } = capacity;
  const room = { tokens: Math.max(2 * tokens, sequences), sequences };
  const options = (small: ModelSpec) => ({ spec: small, capacity: room });
  const prompts = ({ spec: small }: DecoderPlan) => {
    const { ids, starts } = excerptBatch(small, tokens);
    const most = Math.max(1, textContext(small.config, small) - 1);
    return [0, 1].map((slot) => ({
      slot,
      position: 0,
      ids: ids.slice(starts[slot], Math.min(starts[slot + 1]!, starts[slot]! + most)),
    }));
  };
  async function pass(decoder: Decoder): Promise<void> {
    const chunks = prompts(decoder.plan).slice(0, rows);
    await decoder.prefill(chunks);
    const next = chunks.map(({ slot, ids }) => ({ slot, position: ids.length, ids: [slot] }));
    const { config } = decoder.plan.spec;
    if (chunks.every(({ ids }) => ids.length < textContext(config, decoder.plan.spec))) await decoder.decode(next);
  }
  return {
    spec,
    programs: [plan],
    plan: (small) => make.plan(device, options(small)),
    create: (backend, small) => make.create(backend, options(small)),
    pass,
    async results(decoder) {
      await pass(decoder);
      const [prompt] = prompts(decoder.plan);
      await decoder.losses(prompt!, prompt!.ids.toReversed());
      await draw(decoder, rows);
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
