/** The shaders that `verify --wgsl` prints: those that plans use, and no others; all of them compile. */

import { readdirSync } from "node:fs";
import { type NagaError, parseWgsl, validate } from "naga-wasm";
import * as assert from "uvu/assert";
import { packagePath, requestGPU } from "#platform";
import { chooseShader, listShaders } from "../../src/backend/webgpu-shaders.ts";
import { assembleShader, unroll } from "../../src/backend/webgpu-source.ts";
import type { ModelConfig } from "../../src/core/config.ts";
import type { WeightDtype } from "../../src/core/tensor.ts";
import { buildDecoder } from "../../src/model/decoder.ts";
import { makeDropout } from "../../src/model/dropout.ts";
import { makeValueLoss } from "../../src/model/head.ts";
import { buildPlan } from "../../src/model/model.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { KERNELS } from "../../src/ops/generated/kernels.ts";
import type { Program } from "../../src/plan/plan.ts";
import { fileOf } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { LLAMA, OPTIMIZER, smallSpec } from "../helpers/models.ts";

const lm = { objective: "lm" } as const;
const FEW = { tokens: 50, sequences: 4 };
/** Rows for large tiles. */
const MANY = { tokens: 32_760, sequences: 300 };
/** Rows that are whole numbers of blocks. */
const WIDE: Partial<ModelConfig> = { n_embd: 128, n_head: 2 };

const train = (spec: ModelSpec, capacity = FEW, more = {}) =>
  buildPlan({
    ...{ spec, capacity, maxBinding: 1 << 27, optimizer: OPTIMIZER },
    ...{ dropout: makeDropout(spec, 1), valueLoss: makeValueLoss(spec.task), ...more },
  });
const decode = (spec: ModelSpec) => buildDecoder({ spec, capacity: FEW, maxBinding: 1 << 27 });
const quantized = (objective: "lm" | "classification", config: Partial<ModelConfig>, dtype: WeightDtype = "q8") => ({
  ...smallSpec("lora", { objective, config: { ...WIDE, ...config } }),
  dtype,
});

function* plans(): Generator<Program> {
  for (const mode of ["lora", "all", "bitfit", "adapter", "prompt", "prefix"] as const) {
    for (const objective of ["classification", "lm"] as const) {
      const spec = smallSpec(mode, { objective, r: 5 });
      yield train(spec);
      yield train(spec, FEW, { recompute: true });
      if (objective === "lm") yield decode(spec);
    }
  }
  for (const objective of ["regression", "multi-label"] as const) yield train(smallSpec("lora", { objective }));
  yield train(smallSpec("lora", { targets: ["proj"] }));
  yield train(smallSpec("all", { config: LLAMA }));
  yield train(smallSpec("lora", { dropout: 0.1 }));
  yield train(smallSpec("lora", { dora: true }));
  yield train({ ...smallSpec("lora", { dora: true, config: WIDE }), dtype: "q8" });
  for (const capacity of [FEW, MANY]) {
    for (const r of [4, 5, 40, 41]) yield train(smallSpec("lora", { r, config: WIDE }), capacity);
    yield train(smallSpec("adapter", { config: WIDE }), capacity);
    for (const vocab_size of [30, 332, 333]) {
      yield train(smallSpec("lora", { ...lm, config: { vocab_size } }), capacity);
      yield train(quantized("lm", { vocab_size }), capacity);
      yield train(quantized("lm", { vocab_size, n_embd: 32 }), capacity);
    }
    yield train(quantized("classification", {}), capacity);
  }
  yield decode(smallSpec("lora", { ...lm, r: 4 }));
  yield decode(quantized("lm", {}));
}

const ALL = KERNELS.flatMap((kernel) => listShaders(kernel).map((shader) => ({ kernel, shader })));

test("every shader that is listed is one that plans use, and the other way round", () => {
  const used = new Set<string>();
  for (const { segments } of plans())
    for (const dispatch of segments.flatMap(({ dispatches }) => dispatches)) used.add(chooseShader(dispatch).name);
  assert.equal([...used].sort(), ALL.map(({ shader }) => shader.name).sort());
});

test("every kernel has a file in test/ops, which runs its shaders", () => {
  const files = readdirSync(packagePath("test/ops"));
  for (const kernel of KERNELS) assert.ok(files.includes(`${fileOf(kernel)}.test.ts`), kernel.name);
});

test("every shader is valid for naga, the compiler of Firefox, wgpu and Deno", async () => {
  for (const { kernel, shader } of ALL) {
    const code = assembleShader(kernel, shader);
    try {
      const module = parseWgsl(code);
      validate(module).free();
      module.free();
    } catch (error) {
      throw new Error(`${shader.name}: ${(error as NagaError).formatted ?? error}`);
    }
  }
});

test("every shader compiles", async () => {
  const adapter = await (await requestGPU()).requestAdapter();
  const device = await adapter!.requestDevice();
  try {
    for (const { kernel, shader } of ALL) {
      const module = device.createShaderModule({ code: assembleShader(kernel, shader) });
      const { messages } = await module.getCompilationInfo();
      assert.equal(
        messages.map(({ message }) => message),
        [],
        shader.name,
      );
    }
  } finally {
    device.destroy();
  }
});

test("loops marked @unroll are written out, nested ones too, with and without spaces", () => {
  const loop = "a; @unroll for (var i = 0u; i < 2u; i++) { if (i < n) { x[i] = s.i; } } b;";
  const expected = "a; { if (0u < n) { x[0u] = s.i; } }{ if (1u < n) { x[1u] = s.i; } } b;";
  assert.is(unroll(loop), expected);
  const short = loop.replace(/ ?([^\w\s@-]) ?/g, "$1");
  assert.is(unroll(short).replaceAll(" ", ""), expected.replaceAll(" ", ""));
  assert.is(unroll("const N = 2u; @unroll for (var i = 0u; i < N; i++) {f(i);}"), "const N = 2u; {f(0u);}{f(1u);}");
  const nested = "@unroll for (var c = 0u; c < 2u; c++) {@unroll for (var i = 0u; i < 2u; i++) {f(c, i);}}";
  assert.is(unroll(nested), "{{f(0u, 0u);}{f(0u, 1u);}}{{f(1u, 0u);}{f(1u, 1u);}}");
});

/** A lane's own arrays, vectors and matrices: variables of functions, but not their parameters. */
const OWN = /^ +(?:var|let) (\w+)(?:: [^=;]+)? ?(?:= (?:array<|mat4x4f\(|vec4[fu]\()|;)/gm;

test("what a lane holds in registers is indexed by constants alone", async () => {
  for (const { kernel, shader } of ALL) {
    const code = assembleShader(kernel, shader).replace(/\/\/.*/g, "");
    const own = new Set([...code.matchAll(OWN)].map(([, name]) => name));
    for (const [access, name, index] of code.matchAll(/(?<![.\w])(\w+)\[(.*?)\]/g))
      if (own.has(name)) assert.match(index!, /^(\du?|[A-Z]+|[ +*])+$/, `${shader.name}: ${access}`);
  }
});
