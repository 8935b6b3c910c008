/** What a language model needs to generate text. Imported on demand: a page that classifies does not load it. */
import { Decoder } from "../engine/decoder.ts";
import type { CreateWork } from "./device.ts";

export { generate } from "./generation.ts";

export const createDecoder = Decoder.create.bind(Decoder);

/** A prompt and its reverse, and one more token of each. */
export const createWork: CreateWork<Decoder> = (prompt, hasNext) => {
  const { length } = prompt;
  const prompts = [prompt, prompt.toReversed()].map((ids, slot) => ({ slot, position: 0, ids }));
  const next = prompts.map(({ slot }) => ({ slot, position: length, ids: [length] }));
  return {
    name: "generation",
    create: (backend, spec) => createDecoder(backend, { spec, capacity: { tokens: 2 * length, sequences: 2 } }),
    pass: async (decoder) => [
      ["the result of a prompt", await decoder.prefill(prompts)],
      ...(hasNext ? [["the result of the next token", await decoder.decode(next)] as [string, Float32Array]] : []),
    ],
  };
};
