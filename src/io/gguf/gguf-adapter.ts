/**
 * A LoRA adapter as llama.cpp reads it: of each adapted matrix NAME.weight its A [r, in] as NAME.weight.lora_a, its B
 * [out, r] as NAME.weight.lora_b. llama.cpp adds alpha / r B A x, with one alpha for all and each tensor's own r.
 */

import type { NamedTensor, Tensors } from "../peft/peft-form.ts";
import { type LoraModel, loraModules, type PeftNames } from "../peft/peft-lora.ts";
import { fuse } from "../peft/peft-write.ts";
import { ENCODINGS } from "./ggml-encode.ts";
import { ggufPlace, interleaved } from "./gguf-tensors.ts";
import { f32, type GgufOutput, text } from "./gguf-write.ts";

/** The metadata that make a file an adapter, and its tensors. */
export function ggufAdapter(
  adapter: LoraModel,
  tensors: Tensors,
  names: PeftNames,
): { metadata: [key: string, value: Uint8Array][]; tensors: GgufOutput[] } {
  const { model } = adapter;
  const modules = loraModules(adapter, names);
  const parts = modules.flatMap((module) => module.parts);
  // Where all adapters agree it is the run's own, and B is too. An alpha of 0 would mean a scale of 1.
  const alpha = Math.fround(parts.map(({ scale, r }) => scale * r).find((own) => own !== 0) ?? 1);
  const outputs = modules.flatMap((module): GgufOutput[] => {
    const { name, heads } = ggufPlace(module.name, model);
    const { A, B } = fuse(module, tensors, ({ scale }) => (scale * module.r) / alpha);
    const rows = heads === undefined ? B : { ...B, data: interleaved(B.data, module.out, heads) };
    return [whole(`${name}.weight.lora_a`, A), whole(`${name}.weight.lora_b`, rows)];
  });
  return {
    metadata: [
      ["adapter.type", text("lora")],
      ["adapter.lora.alpha", f32(alpha)],
    ],
    tensors: outputs,
  };
}

function whole(name: string, { shape, data }: NamedTensor): GgufOutput {
  const pieces = async function* () {
    yield data;
  };
  return { name, shape, type: ENCODINGS.f32, pieces };
}
