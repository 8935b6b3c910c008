/** Which variants of products a device takes: by fake times, and on a software driver. */

import * as assert from "uvu/assert";
import { requestGPU } from "#platform";
import type { Backend, Session } from "../../src/backend/backend.ts";
import { openWebGPU } from "../../src/backend/webgpu.ts";
import { measureVariants, showProduct, type Variants } from "../../src/backend/webgpu-choice.ts";
import { chooseShader, listVariants } from "../../src/backend/webgpu-shaders.ts";
import { NO_VALUES, type ProductVariant } from "../../src/ops/kernel.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { SHARE, tableShape } from "../../src/ops/shares.ts";
import { planMemory } from "../../src/plan/memory.ts";
import type { Program } from "../../src/plan/plan.ts";
import { Tensor } from "../../src/tensor.ts";
import { assertSameBits } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { OpCase } from "../helpers/op-case.ts";

/** A program of products x W, with so many columns each. */
function makeProgram(...widths: number[]) {
  const products = widths.map((n) => {
    const [out, a] = [new Tensor("out", [64, n], "output"), new Tensor("a", [64, 36], "output")];
    const m = { count: "tokens", shares: new Tensor("shares", tableShape(SHARE), "input", "u32") } as const;
    return matmul({ out, a, b: new Tensor("b", [36, n], "output"), m, n, k: 36 });
  });
  const segments = [{ name: "forward" as const, clears: [], dispatches: products }];
  return { products, program: { segments, memory: planMemory(segments) } };
}

/** What a device does with each variant: milliseconds of a run, and the first element of its results. */
type Fake = Partial<Record<ProductVariant, { ms: number; first?: number }>>;

/** A device that only pretends to compute; `left`: its sessions that are not destroyed. */
function makeFake(fake: Fake, kept: Readonly<Record<string, unknown>> = {}) {
  const [prepared, written]: [ProductVariant[], object[]] = [[], []];
  const device = {
    left: 0,
    prepared,
    written,
    choices: { read: async () => kept, write: async (all: object) => void written.push({ ...all }) },
    async prepare(_: Program, __: unknown, variants: Variants) {
      const [variant] = [...variants.values()] as [ProductVariant];
      if (!fake[variant]) throw new Error("refused");
      const { ms, first = 0 } = fake[variant];
      prepared.push(variant);
      device.left++;
      let times: Map<string, number> | undefined;
      return {
        write() {},
        run: () => times?.set("product", (times.get("product") ?? 0) + ms),
        read: async () => Float32Array.of(first, 1),
        flush: async () => {},
        async time(map: Map<string, number>) {
          times = map;
        },
        destroy: () => void device.left--,
      } as unknown as Session;
    },
  };
  return device;
}

/** The variant of a product on a device that does this. */
async function choose(fake: Fake, kept: Readonly<Record<string, unknown>> = {}) {
  const { products, program } = makeProgram(40);
  const device = makeFake(fake, kept);
  const variants = await measureVariants(device, program, device.prepare);
  return { found: variants.get(products[0]!), ...device };
}

/** How a product of 40 columns is called. */
const PRODUCT = "matmul 16 x 40 x 36 f32";

test("the fastest variant is taken and kept, if it is clearly faster and has the same bits", async () => {
  for (const [wide, middle, direct, expected] of [
    [{ ms: 3 }, { ms: 2 }, { ms: 1 }, "direct"],
    [{ ms: 1 }, { ms: 2 }, { ms: 3 }, "wide"],
    [{ ms: 0.95 }, { ms: 1 }, { ms: 0.95 }, "middle"],
    [{ ms: 2 }, { ms: 4 }, { ms: 1, first: 1 }, "wide"],
    [{ ms: 4 }, { ms: 4 }, { ms: 1, first: Number.NaN }, "middle"],
    [{ ms: 0 }, { ms: 0 }, { ms: 0 }, "middle"],
  ] as const) {
    const { found, prepared, left, written } = await choose({ wide, middle, direct });
    assert.is(found, expected);
    assert.equal(prepared, ["middle", "wide", "direct"]);
    assert.is(left, 0);
    assert.equal(written, [{ [PRODUCT]: expected }]);
  }
});

test("a kept variant is taken as it is; one that is none is measured again", async () => {
  const fake: Fake = { wide: { ms: 3 }, middle: { ms: 2 }, direct: { ms: 1 } };
  const again = await choose(fake, { [PRODUCT]: "wide" });
  assert.is(again.found, "wide");
  assert.equal([again.prepared, again.written], [[], []]);
  for (const variant of ["narrow", "", 1, null]) {
    const { found, written } = await choose(fake, { [PRODUCT]: variant, other: "wide" });
    assert.is(found, "direct");
    assert.equal(written, [{ [PRODUCT]: "direct", other: "wide" }]);
  }
});

test("where measuring fails, what was found is kept, all is released, and it is not repeated", async () => {
  const fake: Fake = { wide: { ms: 2 }, middle: { ms: 3 }, direct: { ms: 1 } };
  const device = makeFake(fake);
  const { products, program } = makeProgram(40, 44);
  let calls = 0;
  const fails = (...args: Parameters<typeof device.prepare>) =>
    ++calls === 5 ? Promise.reject(new Error("no memory")) : device.prepare(...args);
  const error = await measureVariants(device, program, fails).catch(({ message }) => message);
  assert.is(error, "no memory");
  assert.is(device.left, 0);
  assert.equal(device.written, [{ [PRODUCT]: "direct" }]);
  const variants = await measureVariants(device, program, fails);
  assert.equal(
    products.map((product) => variants.get(product)),
    ["direct", "middle"],
  );
  assert.is(calls, 5);
});

test("after half a second products take the variant that their shape suggests, which is not kept", async () => {
  const device = makeFake({ wide: { ms: 3 }, middle: { ms: 2 }, direct: { ms: 1 } });
  const { products, program } = makeProgram(40, 44, 48);
  const { now } = performance;
  let clock = 0;
  performance.now = () => (clock += 300);
  try {
    const variants = await measureVariants(device, program, device.prepare);
    assert.equal(
      products.map((product) => variants.get(product)),
      ["direct", "direct", "middle"],
    );
    assert.equal(Object.keys(device.written[0]!), products.slice(0, 2).map(showProduct));
  } finally {
    performance.now = now;
  }
});

/** Prepares a program, runs it, and gives the name of its product's kernel and the result. */
async function runProduct(device: Backend) {
  const { products, program } = makeProgram(64);
  const product = products[0]!;
  const session = await device.prepare(program);
  const [out, a, b] = product.tensors as [Tensor, Tensor, Tensor];
  const c = new OpCase(1);
  session.write(a, c.normals(a.size));
  session.write(b, c.normals(b.size));
  session.run(["forward"], { ...NO_VALUES, tokens: 33 });
  const result = await session.read(out);
  const kernel = session.kernelName!(product);
  session.destroy();
  return { product, kernel, result };
}

test("a device measures each product once, and uses what it has found; results are the same", async () => {
  const plain = await openWebGPU(await requestGPU());
  let asked = 0;
  plain.choices = { read: async () => ({ [++asked]: "" }), write: async () => {} };
  const expected = await runProduct(plain);
  plain.destroy();
  assert.is(asked, 0, "a software driver measures");
  let kept: Readonly<Record<string, unknown>> = {};
  let writes = 0;
  const choices = {
    read: async () => kept,
    async write(all: typeof kept) {
      kept = all;
      writes++;
    },
  };
  const device = await openWebGPU(await requestGPU(), { measures: true });
  device.choices = choices;
  const { product, kernel, result } = await runProduct(device);
  assert.equal(Object.keys(kept), [showProduct(product)]);
  const [variant] = Object.values(kept) as [ProductVariant];
  assert.is(kernel, chooseShader(product, variant).name);
  assertSameBits("as measured", result, expected.result);
  await runProduct(device);
  assert.is(writes, 1, "measured again");
  device.destroy();

  for (const other of listVariants(product)) {
    kept = { [showProduct(product)]: other };
    const next = await openWebGPU(await requestGPU(), { measures: true });
    next.choices = choices;
    const again = await runProduct(next);
    assert.is(again.kernel, chooseShader(product, other).name);
    assertSameBits(other, again.result, expected.result);
    next.destroy();
  }
  assert.is(writes, 1, "measured again");
});
