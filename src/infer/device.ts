/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { textContext } from "../config.ts";
import { Decoder } from "../engine/decoder.ts";
import { type Choice, chooseDevice, type Work } from "../engine/device-check.ts";
import { Engine } from "../engine/engine.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";

/** Tokens of the longest of two sequences. */
const TOKENS = 32;

export function chooseForInference(device: Backend, model: GPT2Checkpoint, spec: ModelSpec): Promise<Choice> {
  const context = textContext(spec.config, spec);
  const length = Math.max(1, Math.min(TOKENS, context - 1));
  const vocabulary = Array.from({ length: length + 1 }, (_, id) => id);
  const prompt = vocabulary.slice(0, length);
  const common = { model, spec, vocabulary, tokens: 2 * length };
  return spec.task.objective === "lm"
    ? chooseDevice(device, { ...common, ...generationOf(prompt, length < context) })
    : chooseDevice(device, { ...common, ...classificationOf(prompt) });
}

/** A prompt and its reverse, and one more token of each if there is room. */
function generationOf(prompt: readonly number[], hasNext: boolean): Pick<Work<Decoder>, "name" | "create" | "pass"> {
  const { length } = prompt;
  const prompts = [prompt, prompt.toReversed()].map((ids, slot) => ({ slot, position: 0, ids }));
  const next = prompts.map(({ slot }) => ({ slot, position: length, ids: [length] }));
  return {
    name: "generation",
    create: (backend, spec) => Decoder.create(backend, { spec, capacity: { tokens: 2 * length, sequences: 2 } }),
    pass: async (decoder) => [
      ["the result of a prompt", await decoder.prefill(prompts)],
      ...(hasNext ? [["the result of the next token", await decoder.decode(next)] as [string, Float32Array]] : []),
    ],
  };
}

function classificationOf(text: readonly number[]): Pick<Work<Engine>, "name" | "create" | "pass"> {
  const { length } = text;
  const batch = {
    ids: Uint32Array.from([...text, ...text.toReversed()]),
    starts: Uint32Array.of(0, length, 2 * length),
    rows: Uint32Array.of(length - 1, 2 * length - 1),
    targets: new Int32Array(2),
  };
  return {
    name: "classification",
    create: (backend, spec) =>
      Engine.create(backend, { spec, capacity: { tokens: 2 * length, sequences: 2 }, optimizer: null }),
    async pass(engine) {
      engine.forward(batch);
      return [["logits", await engine.logits(2)]];
    },
  };
}
