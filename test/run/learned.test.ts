/** What a run learned: changes, the scaled model, the influence of words; against plain loops. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Classifier } from "../../src/infer/classifier.ts";
import { leaveOut, MOST_PARTS, measureInfluences } from "../../src/infer/influence.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import type { Adapter } from "../../src/io/peft/peft.ts";
import type { Mode } from "../../src/methods/index.ts";
import { measureChanges } from "../../src/run/changes.ts";
import { type Factors, productNorm } from "../../src/run/spectrum.ts";
import { drawTensors, LM, modeMeta, product, testMeta } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { numbers, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

/** Sums of some hundred products in double precision. */
const ROUNDING = { atol: 1e-7, rtol: 1e-10 };

/** Log-odds by way of probabilities, against logits. */
const SOFTMAX = { atol: 1e-9, rtol: 1e-9 };

const squares = (values: ArrayLike<number>) => Array.from(values).reduce((sum, x) => sum + x * x, 0);
const norm = (values: ArrayLike<number>) => Math.sqrt(squares(values));

function factors(out: number, inputs: number, r: number, seed = 1): Factors {
  const random = numbers(seed);
  return { A: random([r, inputs]), B: random([out, r]), r, scale: 2.5 };
}

test("the norm of s B A is that of the product", () => {
  for (const [out, inputs, r] of [
    [5, 7, 1],
    [12, 9, 3],
    [30, 40, 8],
    [4, 6, 5],
  ] as const) {
    const some = factors(out, inputs, r);
    const dense = product(some.B, some.A, r, inputs, some.scale);
    assertAllClose("norm", [productNorm(some)], [norm(dense)], ROUNDING);
  }
});

const folder = temporaryFolder();
const opened = tinyModel(join(folder, "model"));
let base: BaseModel | undefined;
const openBase = async () => {
  base ??= await openBaseModel(opened);
  return base;
};
afterAll(() => base?.close());

const KINDS = { q: ["attn.c_attn", 0], k: ["attn.c_attn", 1], v: ["attn.c_attn", 2] } as const;

test("changes of an adapter: ||s B A|| of each site over ||W||, q, k and v apart; the head from where it began", async () => {
  const model = await openBase();
  const meta = testMeta({ target_modules: ["q", "v", "o", "fc", "proj", "head"] }, { model: TINY });
  const adapter: Adapter = { meta, tensors: drawTensors(meta) };
  const start = drawTensors(meta, 2);
  const { kind, changes } = await measureChanges(adapter, model, start);
  assert.is(kind, "weight");
  assert.is(changes.length, 2 * 5 + 1);
  for (const { block, part, norm: moved, of } of changes) {
    const site = part === "head" ? "head" : `h.${block}.${/^(fc|proj)$/.test(part) ? "mlp" : "attn"}.${part}`;
    const [A, B] = ["A", "B"].map((name) => adapter.tensors.get(`lora.${site}.${name}`)!.data) as [
      Float32Array,
      Float32Array,
    ];
    const delta = product(B, A, 3, A.length / 3, 5 / 3);
    if (part === "head") {
      const [before, after] = [start, adapter.tensors].map((tensors) => tensors.get("head.weight")!.data);
      const change = delta.map((x, i) => x + after![i]! - before![i]!);
      assertAllClose("head", [moved, of], [norm(change), norm(before!)], ROUNDING);
      continue;
    }
    assertAllClose(site, [moved], [norm(delta)], ROUNDING);
    const [matrix, third] = KINDS[part as "q"] ?? [
      { o: "attn.c_proj", fc: "mlp.c_fc", proj: "mlp.c_proj" }[part],
      null,
    ];
    const W = await model.read(`h.${block}.${matrix}.weight`);
    const columns = third === null ? W : W.filter((_, i) => Math.floor((i % 48) / 16) === third);
    assertAllClose(`${site}, W`, [of], [norm(columns)], ROUNDING);
  }
  // A loaded adapter: nobody knows where its head began.
  assert.is((await measureChanges(adapter, model, null)).changes.length, 10);
});

test("changes of one adapter for q, k and v, and of a language model's head, are relative to the whole matrix", async () => {
  const model = await openBase();
  const sites = [
    { site: "h.1.attn.c_attn", r: 2, scale: 1 },
    { site: "head", r: 1, scale: 3 },
  ];
  const meta = testMeta({ sites }, { model: TINY, ...LM });
  const { changes } = await measureChanges({ meta, tensors: drawTensors(meta) }, model, null);
  assert.equal(
    changes.map(({ block, part }) => [block, part]),
    [
      [1, "c_attn"],
      [null, "head"],
    ],
  );
  const tables = [await model.read("h.1.attn.c_attn.weight"), await model.read("wte.weight")];
  assertAllClose(
    "norms",
    changes.map(({ of }) => of),
    tables.map(norm),
    ROUNDING,
  );
});

test("changes of the other methods: trained less frozen; nothing where no matrix changes", async () => {
  const model = await openBase();
  const modeChanges = async (mode: Exclude<Mode, "lora">) => {
    const meta = testMeta({}, { model: TINY, ...modeMeta(mode) });
    const tensors = drawTensors(meta);
    for (const [name, { shape }] of tensors) {
      if (!model.names.includes(name)) continue;
      const data = (await model.read(name)).map((x, i) => x + (i === 0 ? 3 : 0));
      tensors.set(name, { shape, data });
    }
    return measureChanges({ meta, tensors }, model, null);
  };
  const all = await modeChanges("all");
  assert.is(all.kind, "weight");
  assert.is(all.changes.length, 2 * 8 + 3);
  for (const { part, norm } of all.changes)
    assertAllClose(part, [norm], [part === "k" || part === "v" ? 0 : 3], { atol: 1e-6, rtol: 0 });
  const last = await modeChanges("last_block");
  assert.equal([...new Set(last.changes.map(({ block }) => block))], [1]);
  const biases = await modeChanges("bitfit");
  assert.is(biases.kind, "bias");
  assert.equal(
    biases.changes.filter(({ block }) => block === 0).map(({ part }) => part),
    ["ln_1", "q", "k", "v", "o", "ln_2", "fc", "proj"],
  );
  for (const mode of ["last_layer", "adapter", "prompt", "prefix"] as const)
    assert.equal((await modeChanges(mode)).changes, [], mode);
});

const TEXT = " you have  won\na prize ";

test("leave one out: each word's influence is the log-odds with it less those without it, also where a model is sure", async () => {
  const model = await openBase();
  const meta = testMeta({}, { model: TINY });
  const tensors = drawTensors(meta);
  const classifier = await Classifier.of({ meta, tensors }, model, await testDevice("wasm 1 thread"));
  const { label, parts, words } = (await measureInfluences(classifier, TEXT))!;
  const at = classifier.labels.indexOf(label);
  /** Of two labels, the difference of their logits. */
  const logOdds = async (text: string) => {
    const logits = await classifier.logits(text);
    return logits[at]! - logits[1 - at]!;
  };
  const whole = await logOdds(TEXT);
  assert.is(label, (await classifier.classify(TEXT))[0]!.label);
  assert.equal(
    [words, parts.map(({ start, end }) => TEXT.slice(start, end))],
    [1, ["you", "have", "won", "a", "prize"]],
  );
  for (const [i, without] of [
    " have  won\na prize ",
    " you won\na prize ",
    " you have  a prize ",
    " you have  won\nprize ",
    " you have  won\na ",
  ].entries())
    assertAllClose(without, [parts[i]!.influence], [whole - (await logOdds(without))], SOFTMAX);
  assert.equal((await measureInfluences(classifier, "prize"))!.parts, [], "nothing would be left");

  const long = Array.from({ length: 2 * MOST_PARTS + 1 }, (_, i) => `w${i}`).join(" ");
  const groups = (await measureInfluences(classifier, long))!;
  assert.is(groups.words, 3);
  assert.equal(groups.parts.map(({ start, end }) => long.slice(start, end)).join(" "), long);
  assert.is(long.slice(groups.parts[1]!.start, groups.parts[1]!.end), "w3 w4 w5");
  assert.equal(leaveOut(TEXT, parts, new Set([1, 3, 4])), " you won ");
  assert.equal(leaveOut(TEXT, parts, new Set()), TEXT);

  // A head that is much larger is sure.
  const sure = new Map(
    [...tensors].map(([name, { shape, data }]) => {
      return [name, { shape, data: ["head.weight", "lora.head.B"].includes(name) ? data.map((x) => 30 * x) : data }];
    }),
  );
  classifier.update(sure);
  const [certain] = await classifier.classify(TEXT);
  assert.ok(certain!.probability! > 1 - 1e-6, String(certain!.probability));
  const large = (await measureInfluences(classifier, TEXT))!;
  const found = large.parts.map(({ influence }) => influence);
  assert.ok(
    found.some((one) => Math.abs(one) > 1),
    String(found),
  );
  classifier.destroy();
});
