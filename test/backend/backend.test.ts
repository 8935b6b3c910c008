/** What every backend does with sessions: what is shared, what is released, what comes too late. */
import * as assert from "uvu/assert";
import { openInWorker, openWasm } from "../../src/backend/wasm.ts";
import { Tensor } from "../../src/core/tensor.ts";
import { NO_VALUES } from "../../src/ops/kernel.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { assertFails } from "../helpers/border.ts";
import { ONE_OF_EACH, testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";

/** out = beta out + weight x, with the weight of `sharedFrom` where there is one. */
function product(weight = new Tensor("weight", [8, 1], "weight"), beta = 0) {
  const [out, x] = [new Tensor("out", [8, 1], "output"), new Tensor("x", [1, 1], "output")];
  const dispatches = [matmul({ out, a: weight, b: x, m: 8, n: 1, k: 1, beta })];
  const segments = [{ name: "forward" as const, clears: [], dispatches }];
  return { out, x, weight, program: { segments, memory: planMemory(segments) } };
}

const testOnEach = (name: string, body: () => Promise<void>) => testOnDevices(name, body, ONE_OF_EACH, ONE_OF_EACH);

const eights = (value: number) => new Float32Array(8).fill(value);

testOnEach("a shared tensor and its views have the contents of the first session, and outlive it", async () => {
  const device = await testDevice();
  const one = product();
  const two = product(one.weight);
  const sharedFrom = await device.prepare(one.program);
  sharedFrom.write(one.weight, eights(3));
  const borrower = await device.prepare(two.program, sharedFrom);
  sharedFrom.destroy();
  borrower.write(two.x, Float32Array.of(4));
  borrower.write(one.weight.view("half", [4], 4), eights(5).subarray(4));
  borrower.run(["forward"], NO_VALUES);
  assert.equal([...(await borrower.read(two.out))], [12, 12, 12, 12, 20, 20, 20, 20]);
  borrower.destroy();
});

testOnEach("writes wait for the runs before them, and reads for both; what was written may change", async () => {
  const { weight, x, out, program } = product(undefined, 1);
  const session = await (await testDevice()).prepare(program);
  session.write(weight, eights(1));
  const value = new Float32Array(1);
  for (let i = 1; i <= 10; i++) {
    session.write(x, value.fill(i));
    session.run(["forward"], NO_VALUES);
  }
  value.fill(0);
  assert.equal(await session.read(out), eights(55));
  session.destroy();
});

testOnEach("a released session refuses all calls and does not affect others", async () => {
  const device = await testDevice();
  const [dead, alive] = [product(), product()];
  const session = await device.prepare(dead.program);
  const borrower = await device.prepare(product(dead.weight).program, session);
  const other = await device.prepare(alive.program);
  session.write(dead.weight, eights(1));
  const asked = session.read(dead.weight);
  session.destroy();
  session.destroy();
  assert.equal(await asked, eights(1), "what was asked for before");
  const refused = (work: () => unknown) => assertFails("already-destroyed", ["the session was released"], work);
  await refused(() => session.write(dead.x, Float32Array.of(2)));
  await refused(() => session.run(["forward"], NO_VALUES));
  await refused(() => session.read(dead.out));
  await refused(() => session.flush());
  await refused(() => device.prepare(product(dead.weight).program, session));
  assert.equal(await borrower.read(dead.weight), eights(1));
  other.write(alive.weight, eights(2));
  other.write(alive.x, Float32Array.of(1));
  other.run(["forward"], NO_VALUES);
  assert.equal(await other.read(alive.out), eights(2));
  for (const one of [borrower, other]) one.destroy();
});

for (const [name, open] of Object.entries({ threads: () => openWasm({ threads: 2 }), worker: openInWorker }))
  test(`a released device refuses work and rejects what waits: ${name}`, async () => {
    const device = await open();
    const { out, program } = product();
    const session = await device.prepare(program);
    session.run(["forward"], NO_VALUES);
    const waits = [session.flush(), session.read(out)];
    device.destroy();
    for (const work of [...waits, session.flush(), device.prepare(program)])
      await assertFails("already-destroyed", ["the device was released"], () => work);
    session.destroy();
  });

test("an answer of a worker that comes after the device was released is dropped", async () => {
  const device = await openInWorker();
  const session = await device.prepare(product().program);
  const [first, second] = [session.flush(), session.flush()];
  // Both answers are there before this thread hears the first.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  await first;
  device.destroy();
  await assertFails("already-destroyed", ["the device was released"], () => second);
  await new Promise((resolve) => setTimeout(resolve, 20));
});
