/**
 * Rotary positions in GGUF files: the order of rows, and Llama 3's scaling. A file has the result of that: factors by
 * which wavelengths are stretched, from short to long ones; a config.json has the numbers that they are computed from.
 * The last factor is the largest, and the other numbers are the same in all models: Llama 3.1, 3.2 and 3.3.
 */
import type { RopeScaling } from "../../core/config.ts";
import { ConfigError } from "../../core/errors.ts";

type Llama3 = Omit<Extract<RopeScaling, { rope_type: "llama3" }>, "rope_type">;

const SAME = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
/** Of factors that were computed in f32. */
const TOLERANCE = 1e-4;

/** The `rope_scaling` with these factors. Throws ConfigError if they are not Llama 3's. */
export function llama3Scaling(factors: Float32Array, theta: number, where: string): Record<string, unknown> {
  const factor = factors.at(-1)!;
  const expected = llama3Factors({ factor, ...SAME }, theta, factors.length);
  const wrong = expected.findIndex((value, i) => !(Math.abs(factors[i]! - value) <= TOLERANCE * value));
  if (wrong < 0) return { rope_type: "llama3", factor, ...SAME };
  throw new ConfigError("unsupported-model-config", "the factors in rope_freqs.weight are not supported", {
    where,
    expected: `those of Llama 3: ${expected[wrong]} at element ${wrong}`,
    found: String(factors[wrong]),
    hint: "use a model with Llama 3's scaling of rotary positions, or with none",
  });
}

/** The factors of the wavelengths of a head's pairs of dimensions. */
export function llama3Factors(scaling: Llama3, theta: number, pairs: number): Float32Array {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling;
  return Float32Array.from({ length: pairs }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** (i / pairs);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/**
 * Where a row of queries or keys is stored, whose heads have `size` rows: neighbouring rows are stored for what
 * transformers has half a head apart.
 */
export function interleavedRow(row: number, size: number): number {
  const inHead = row % size;
  return row - inHead + ((2 * inHead) % size) + Math.floor((2 * inHead) / size);
}
