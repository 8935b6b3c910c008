/**
 * Llama 3's scaling of rotary positions. A GGUF file has its result: factors by which wavelengths are stretched, from
 * short to long ones; a config.json has the numbers that they are computed from. The last factor is the largest, and
 * the other numbers are the same in all models: Llama 3.1, 3.2 and 3.3.
 */
import { ConfigError } from "../errors.ts";

const SAME = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
/** Of factors that were computed in f32. */
const TOLERANCE = 1e-4;

/** The `rope_scaling` with these factors. Throws ConfigError if they are not Llama 3's. */
export function llama3Scaling(factors: Float32Array, theta: number, where: string): Record<string, unknown> {
  const factor = factors.at(-1)!;
  const expected = [...factors.keys()].map((i) => llama3Factor(2 * Math.PI * theta ** (i / factors.length), factor));
  const wrong = expected.findIndex((value, i) => !(Math.abs(factors[i]! - value) <= TOLERANCE * value));
  if (wrong < 0) return { rope_type: "llama3", factor, ...SAME };
  throw new ConfigError("unsupported-model-config", "the factors in rope_freqs.weight are not supported", {
    where,
    expected: `those of Llama 3: ${expected[wrong]} at element ${wrong}`,
    found: String(factors[wrong]),
    hint: "use a model with Llama 3's scaling of rotary positions, or with none",
  });
}

function llama3Factor(wavelength: number, factor: number): number {
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = SAME;
  if (wavelength < context / high) return 1;
  if (wavelength > context / low) return factor;
  const smooth = (context / wavelength - low) / (high - low);
  return 1 / ((1 - smooth) / factor + smooth);
}
