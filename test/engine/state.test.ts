/** Loading a model: how often the host waits for the device, and how much it stages in between. */
import * as assert from "uvu/assert";
import type { Session } from "../../src/backend/backend.ts";
import { CONFIGS } from "../../src/bench/shapes.ts";
import { numel } from "../../src/core/tensor.ts";
import { loadBase } from "../../src/engine/state.ts";
import { Weights } from "../../src/engine/weights.ts";
import type { BaseModel } from "../../src/io/hf.ts";
import { buildDecoder } from "../../src/model/decoder.ts";
import { test } from "../helpers/harness.ts";
import { smallSpec } from "../helpers/models.ts";

const MiB = 2 ** 20;

/** The bytes that are written between two waits while a plan's parameters are loaded, on no device at all. */
async function bytesPerWait(dtype: "f32" | "f16", signal?: AbortSignal): Promise<number[]> {
  const spec = { ...smallSpec("lora", { objective: "lm", config: CONFIGS["gpt2-small"] }), dtype };
  const plan = buildDecoder({ spec, capacity: { tokens: 8, sequences: 1 }, maxBinding: Infinity });
  const bytes = [0];
  const session = {
    write(_, data) {
      bytes[bytes.length - 1]! += data.byteLength;
    },
    async flush() {
      bytes.push(0);
    },
  } as Partial<Session> as Session;
  const zeros = new Float32Array(4 * MiB);
  const baseModel = {
    async read(name, first = 0, end) {
      const { shape } = plan.parameters.all.get(name)!;
      return zeros.subarray(0, (((end ?? shape[0]!) - first) * numel(shape)) / shape[0]!);
    },
  } as Partial<BaseModel> as BaseModel;
  await loadBase(new Weights(plan, session, null), baseModel, { signal });
  return bytes;
}

test("GPT-2 small is loaded with a wait for every 32 MiB, whatever type its weights are kept in", async () => {
  for (const [dtype, most] of [
    ["f32", 15],
    ["f16", 8],
  ] as const) {
    const bytes = await bytesPerWait(dtype);
    assert.ok(bytes.length - 1 <= most, `${bytes.length - 1} waits in ${dtype}`);
    // A piece of two MiB at most may be written behind them.
    for (const some of bytes) assert.ok(some <= 34 * MiB, `${some} bytes without a wait`);
  }
});

test("loading ends where the signal aborts", async () => {
  const reason = new Error("enough");
  const failure = await bytesPerWait("f32", AbortSignal.abort(reason)).catch((error) => error);
  assert.is(failure, reason);
});
