/** A device is compared with the CPU before it is trusted: right ones pass, a single wrong tile does not. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../src/backend/backend.ts";
import { openWasm } from "../src/backend/wasm.ts";
import { bytesReader } from "../src/data/corpus.ts";
import { loadTexts } from "../src/data/texts.ts";
import { modelBatch } from "../src/engine/batches.ts";
import { loadModel } from "../src/io/hf.ts";
import type { Tensors } from "../src/io/peft.ts";
import type { Dispatch } from "../src/ops/kernel.ts";
import { checkDevice, type Mismatch } from "../src/train/device-check.ts";
import type { TrainOptions } from "../src/train/options.ts";
import { prepareRun } from "../src/train/prepare.ts";
import { train } from "../src/train/trainer.ts";
import { temporaryFolder } from "./border.ts";
import { testDevice } from "./device.ts";
import { test } from "./harness.ts";
import { messages, tinyData, tinyModel } from "./tiny.ts";

const directory = tinyModel(join(temporaryFolder(), "model"));

/** Checks a device with the first batch of a run with these options. */
async function check(device: Backend, options: Partial<TrainOptions>, isTexts = false): Promise<Mismatch | null> {
  const model = await loadModel(directory);
  try {
    const text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
    const file = bytesReader("book.txt", new TextEncoder().encode(text));
    const data = isTexts ? await loadTexts({ file }, { maxLength: 32 }) : await tinyData(messages(20));
    const prepared = prepareRun({ device, model, data, ...options });
    const [packed] = prepared.loader.epoch(0);
    const batch = modelBatch(packed!, prepared.options.pooling);
    const { spec, optimizer } = prepared;
    const cpu = await testDevice("wasm 2 threads");
    return (await checkDevice(device, cpu, model, spec, optimizer, batch)).mismatch;
  } finally {
    await model.close();
  }
}

/** A device whose driver leaves out the last 4 columns of every product that `isHit`. */
function miscompiling(device: Backend, isHit: (dispatch: Dispatch) => boolean): Backend {
  const spoil = (dispatch: Dispatch): Dispatch => {
    if (dispatch.kernel.name !== "matmul" || !isHit(dispatch)) return dispatch;
    const n = Object.keys(dispatch.kernel.dims).indexOf("n");
    return { ...dispatch, scalars: dispatch.scalars.map((scalar, i) => (i === n ? (scalar as number) - 4 : scalar)) };
  };
  return {
    info: device.info,
    limits: device.limits,
    destroy() {},
    prepare: (program, sharedFrom) => {
      const segments = program.segments.map((one) => ({ ...one, dispatches: one.dispatches.map(spoil) }));
      return device.prepare({ ...program, segments }, sharedFrom);
    },
  };
}

const CASES: [options: Partial<TrainOptions>, isTexts?: boolean][] = [
  [{ rank: 4 }],
  [{ rank: 4, layers: [1], targets: ["q", "proj"] }],
  [{ mode: "all" }],
  [{ mode: "last_block" }],
  [{ mode: "last_layer" }],
  [{ rank: 4 }, true],
  [{ mode: "all" }, true],
];

for (const [options, isTexts = false] of CASES)
  test(`webgpu passes: ${JSON.stringify(options)}${isTexts ? ", texts" : ""}`, async () => {
    assert.is(await check(await testDevice("webgpu"), options, isTexts), null);
  });

for (const [name, words] of [
  ["h.0.attn.c_attn", /logits|loss/],
  ["h.1.mlp.c_proj", /logits|loss/],
  ["dh.0.mlp.c_fc.input", /^the gradient of /],
  ["lora.h.1.mlp.fc.down", /logits|loss|gradient/],
] as const)
  test(`a wrong tile in ${name} is found`, async () => {
    let hits = 0;
    const device = miscompiling(await testDevice("wasm 1 thread"), ({ tensors }) => {
      const isHit = tensors[0]!.name === name;
      hits += Number(isHit);
      return isHit;
    });
    const found = await check(device, { rank: 5 });
    assert.ok(hits > 0, "no dispatch was hit");
    assert.ok(found && found.error > 1e-3, JSON.stringify(found));
    assert.match(found.what, words);
  });

/** A short run on a device. */
async function trained(device: Backend) {
  const model = await loadModel(directory);
  try {
    return await train({ device, model, data: await tinyData(messages(20)), rank: 2, epochs: 1 });
  } finally {
    await model.close();
  }
}

/** The CPU under the name of a graphics card. */
async function graphicsCard(why?: string): Promise<Backend> {
  const device = await testDevice("wasm 1 thread");
  const info = {
    kind: "webgpu",
    name: "a graphics card",
    software: false,
    ...(why === undefined ? {} : { why }),
  } as const;
  return { info, limits: device.limits, destroy() {}, prepare: device.prepare.bind(device) };
}

const bitsOf = ({ tensors }: { tensors: Tensors }) => [...tensors].map(([name, { data }]) => [name, [...data]]);

test("a run on a device that computes wrongly ends on the CPU, with the CPU's bits, and says why", async () => {
  const device = miscompiling(await graphicsCard(), ({ tensors }) => tensors[0]!.name === "h.1.mlp.c_fc");
  const result = await trained(device);
  assert.is(result.device.kind, "wasm");
  assert.match(
    result.device.why!,
    /^a graphics card computes wrongly: (loss|logits|the gradient of \S+) differs from the CPU's by \d/,
  );
  const cpu = await openWasm({});
  assert.equal(bitsOf(result), bitsOf(await trained(cpu)));
  cpu.destroy();
});

test("a device that computes rightly is used; the check is made once for a kind of plan", async () => {
  const card = await graphicsCard();
  let prepared = 0;
  const counting = {
    ...card,
    prepare(...args: Parameters<Backend["prepare"]>) {
      prepared++;
      return card.prepare(...args);
    },
  };
  assert.is((await trained(counting)).device.name, "a graphics card");
  assert.is(prepared, 2);
  await trained(counting);
  assert.is(prepared, 3);
});

test("of a device that was chosen automatically the faster one is taken, and both times are named", async () => {
  const card = await graphicsCard("a hardware GPU");
  const slow: Backend = {
    ...card,
    async prepare(...args) {
      const session = await card.prepare(...args);
      const read = session.read.bind(session);
      session.read = async (...what) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        return read(...what);
      };
      return session;
    },
  };
  const result = await trained(slow);
  assert.is(result.device.kind, "wasm");
  assert.match(result.device.why!, /^faster than a graphics card: \d+\.\d ms for two blocks, not \d+\.\d ms$/);
});
