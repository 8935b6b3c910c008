import { type RopeConfig, ropeTable } from "../../src/model/rope-table.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { test } from "../helpers/harness.ts";

/** A cosine of PyTorch's is off by its last bit in one of twenty. */
const LAST_BIT = { atol: 6e-8, rtol: 0 };

/** As Llama 3.2 has it. */
const llama3 = {
  rope_type: "llama3",
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
} as const;

/**
 * Rows of LlamaRotaryEmbedding (transformers 5.23, PyTorch 2.13): cosines, then sines. The wavelengths with llama3 are
 * short in three numbers, between in one and long in two.
 */
const ROWS: { config: RopeConfig; position: number; expected: number[] }[] = [
  {
    config: { theta: 1e5, dims: 8 },
    position: 1,
    expected: [0.54030234, 0.9984193, 0.999995, 1.0, 0.84147096, 0.056204494, 0.0031622725, 0.00017782794],
  },
  {
    config: { theta: 1e5, dims: 8 },
    position: 4095,
    expected: [-0.065975994, -0.587768, 0.927489, 0.74636996, -0.9978212, -0.8090295, 0.37385052, 0.6655313],
  },
  {
    config: { theta: 5e5, dims: 12, scaling: llama3 },
    position: 4095,
    expected: [
      -0.065975994, 0.560642, 0.24015076, -0.18712874, 0.9997937, 0.9999974, -0.9978212, 0.8280583, 0.9707356,
      0.9823354, 0.02031237, 0.0022801429,
    ],
  },
  {
    config: { theta: 1e4, dims: 4, scaling: { rope_type: "linear", factor: 3 } },
    position: 4095,
    expected: [0.022006208, 0.46812463, 0.9997578, 0.88366246],
  },
];

for (const { config, position, expected } of ROWS)
  test(`theta ${config.theta}, ${config.scaling?.rope_type ?? "no scaling"}: position ${position} as transformers`, () => {
    const { dims } = config;
    const row = ropeTable(config, position + 1).subarray(position * dims);
    assertAllClose("row", row, Float32Array.from(expected), LAST_BIT);
  });
