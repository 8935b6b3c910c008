import * as assert from "uvu/assert";
import { ConfigError, DeviceError, ShapeError } from "../../src/core/errors.ts";
import { alignView, numel, Tensor } from "../../src/core/tensor.ts";
import { buildDecoder } from "../../src/model/decoder.ts";
import { makeDropout } from "../../src/model/dropout.ts";
import { makeValueLoss } from "../../src/model/head.ts";
import { buildPlan, type ModelPlan, type PlanOptions } from "../../src/model/model.ts";
import { parameterList } from "../../src/model/trainable.ts";
import { KERNELS } from "../../src/ops/generated/kernels.ts";
import { boundTensors, type Dispatch, dispatch, scalarAt } from "../../src/ops/kernel.ts";
import { EPILOGUES, linearKernel } from "../../src/ops/linear.ts";
import { checkMemory } from "../../src/plan/check-memory.ts";
import { formatBytes, memoryTotals, planMemory, withoutShared } from "../../src/plan/memory.ts";
import type { Program, SegmentName } from "../../src/plan/plan.ts";
import { countFlops } from "../../src/plan/work.ts";
import { test } from "../helpers/harness.ts";
import { LLAMA, OPTIMIZER, smallSpec } from "../helpers/models.ts";
import { printProgram } from "../helpers/print-program.ts";

const MIB = 1 << 20;
const CAPACITY = { tokens: 50, sequences: 4 };

function plan(spec: PlanOptions["spec"], rest: Partial<PlanOptions> = {}): ModelPlan {
  const [dropout, valueLoss] = [makeDropout(spec, 1), makeValueLoss(spec.task)];
  const usual = { capacity: CAPACITY, maxBinding: 128 * MIB, optimizer: OPTIMIZER };
  return buildPlan({ spec, ...usual, dropout, valueLoss, ...rest });
}

const lm = { objective: "lm" } as const;
/** Every mode of both tasks, with the special forms of a plan. */
const PLANS: Record<string, ModelPlan> = {
  lora: plan(smallSpec("lora")),
  "lora, q and v": plan(smallSpec("lora", { targets: ["q", "v"] })),
  "lora, proj": plan(smallSpec("lora", { targets: ["proj"], train_head: false })),
  "lora, q": plan(smallSpec("lora", { targets: ["q"], train_head: false })),
  "lora, head": plan(smallSpec("lora", { targets: ["head"] })),
  "lora, upper block": plan(smallSpec("lora", { layers: [1] })),
  "lora, lower block": plan(smallSpec("lora", { layers: [0], targets: ["proj"] })),
  "lora, dropout": plan(smallSpec("lora", { dropout: 0.1 })),
  "lora, q and proj, dropout": plan(smallSpec("lora", { targets: ["q", "proj"], dropout: 0.1 })),
  all: plan(smallSpec("all")),
  last_block: plan(smallSpec("last_block")),
  last_layer: plan(smallSpec("last_layer")),
  bitfit: plan(smallSpec("bitfit")),
  adapter: plan(smallSpec("adapter")),
  prompt: plan(smallSpec("prompt")),
  prefix: plan(smallSpec("prefix")),
  "lora, activations kept": plan(smallSpec("lora"), { keepActivations: true }),
  "lora, more sequences than tokens": plan(smallSpec("lora"), { capacity: { tokens: 9, sequences: 30 } }),
  "lora, one layer": plan(smallSpec("lora", { config: { n_layer: 1 } })),
  "lora with DoRA": plan(smallSpec("lora", { dora: true })),
  "lora of the token table": plan(smallSpec("lora", { targets: ["q", "wte"] })),
  "regression lora": plan(smallSpec("lora", { objective: "regression" })),
  "multi-label lora": plan(smallSpec("lora", { objective: "multi-label" })),
  "lm lora": plan(smallSpec("lora", lm)),
  "lm lora, dropout": plan(smallSpec("lora", { ...lm, dropout: 0.1 })),
  "lm lora with DoRA": plan(smallSpec("lora", { ...lm, dora: true, targets: ["k", "fc"] })),
  "lm all": plan(smallSpec("all", lm)),
  "lm bitfit": plan(smallSpec("bitfit", lm)),
  "lm adapter": plan(smallSpec("adapter", lm)),
  "lm prompt in pieces": plan(smallSpec("prompt", lm), { maxBinding: 4096 }),
  "lm prefix": plan(smallSpec("prefix", lm)),
  "lm lora in pieces": plan(smallSpec("lora", lm), { maxBinding: 4096 }),
  "lm all in pieces": plan(smallSpec("all", lm), { maxBinding: 4096 }),
  "lora forward": plan(smallSpec("lora"), { optimizer: null }),
  "lora with DoRA, forward": plan(smallSpec("lora", { dora: true }), { optimizer: null }),
  "all forward": plan(smallSpec("all"), { optimizer: null }),
  "last_block, lower part": plan(smallSpec("last_block"), { optimizer: null, part: "lower" }),
  "last_block, upper part": plan(smallSpec("last_block"), { part: "upper" }),
  "last_layer, lower part": plan(smallSpec("last_layer"), { optimizer: null, part: "lower" }),
  "last_layer, upper part": plan(smallSpec("last_layer"), { part: "upper" }),
  "lora, upper block, lower part": plan(smallSpec("lora", { layers: [1] }), { optimizer: null, part: "lower" }),
  "lora, upper block, upper part": plan(smallSpec("lora", { layers: [1] }), { part: "upper" }),
  "lora, head, upper part": plan(smallSpec("lora", { targets: ["head"] }), { part: "upper" }),
  "lora, recomputation": plan(smallSpec("lora"), { recompute: true }),
  "lora with DoRA, recomputation": plan(smallSpec("lora", { dora: true }), { recompute: true }),
  "all, recomputation": plan(smallSpec("all"), { recompute: true }),
  "adapter, recomputation": plan(smallSpec("adapter"), { recompute: true }),
  "lm prefix, recomputation": plan(smallSpec("prefix", lm), { recompute: true }),
  "lm forward in pieces": plan(smallSpec("lora", lm), { optimizer: null, maxBinding: 4096 }),
  "Llama lora": plan(smallSpec("lora", { config: LLAMA })),
  "Llama lora, recomputation": plan(smallSpec("lora", { config: LLAMA }), { recompute: true }),
  "Llama all": plan(smallSpec("all", { config: LLAMA })),
  "lm Llama lora, dropout": plan(smallSpec("lora", { ...lm, dropout: 0.1, config: LLAMA })),
  "lm Llama prefix": plan(smallSpec("prefix", { ...lm, config: LLAMA })),
};

const decoder = (spec: PlanOptions["spec"], maxBinding = 128 * MIB) =>
  buildDecoder({ spec, capacity: CAPACITY, maxBinding });
/** Plans that write text. */
const DECODERS: Record<string, Program> = {
  decoder: decoder(smallSpec("all", lm)),
  "decoder with adapters": decoder(smallSpec("lora", lm)),
  "decoder with DoRA": decoder(smallSpec("lora", { ...lm, dora: true })),
  "decoder with adapter layers": decoder(smallSpec("adapter", lm)),
  "decoder with a prompt": decoder(smallSpec("prompt", lm)),
  "decoder with a prefix": decoder(smallSpec("prefix", lm)),
  "decoder of Llama": decoder(smallSpec("lora", { ...lm, config: LLAMA })),
  "decoder in pieces": decoder(smallSpec("lora", lm), 4096),
};

const allDispatches = ({ segments }: Program) => segments.flatMap(({ dispatches }) => dispatches);
const isTraining = ({ segments }: Program) => segments.some(({ name }) => name === "backward");
const segment = (p: ModelPlan, name: SegmentName): Dispatch[] => p.segments.find((s) => s.name === name)!.dispatches;
const tensorsOf = (dispatch: Dispatch) => boundTensors(dispatch).map(({ tensor }) => tensor);
const written = (dispatch: Dispatch) =>
  boundTensors(dispatch).flatMap(({ tensor, access }) => (access === "read" ? [] : [tensor]));
const kernelNames = (dispatches: Dispatch[]) => new Set(dispatches.map(({ kernel }) => kernel.name));

/** By brute force: the tensors that are alive at each dispatch, from their first use to their last. */
function checkSharing(name: string, { segments, memory }: Program): void {
  const lists = segments.flatMap(({ clears, dispatches }) =>
    dispatches.length === 0
      ? [new Set(clears.map(({ root }) => root))]
      : dispatches.map((one) => new Set(tensorsOf(one).map(({ root }) => root))),
  );
  const roots = new Set(lists.flatMap((tensors) => [...tensors]));
  const uses = new Map([...roots].map((root) => [root, lists.flatMap((tensors, i) => (tensors.has(root) ? [i] : []))]));
  for (const a of roots)
    for (const b of roots) {
      if (a === b || memory.bufferIndex.get(a) !== memory.bufferIndex.get(b)) continue;
      if (a.role === "table") {
        assert.equal(a.contents, b.contents);
        continue;
      }
      assert.is(a.role, "activation", `${name}: ${a.name} (${a.role}) shares a buffer with ${b.name}`);
      const [inA, inB] = [uses.get(a)!, uses.get(b)!];
      const apart = inA.at(-1)! < inB[0]! || inB.at(-1)! < inA[0]!;
      assert.ok(apart, `${name}: ${a.name} and ${b.name} live at the same time in one buffer`);
    }
}

/** Plays the plan: every dispatch must find in each buffer the tensor that it reads. */
function checkContents(name: string, p: Program): void {
  const { bufferIndex: place, buffers } = p.memory;
  const holds = new Map<number, Tensor>();
  const made = new Set<Tensor>();
  for (const dispatch of allDispatches(p)) {
    const where = `${name}: ${dispatch.kernel.name}`;
    for (const {
      tensor: { root, name: tensor },
      access,
    } of boundTensors(dispatch)) {
      const buffer = place.get(root);
      assert.ok(buffer !== undefined && buffers[buffer]!.bytes >= root.bytes, `${where}: no place for ${tensor}`);
      if (root.role !== "activation") continue;
      if (access === "read") assert.ok(made.has(root), `${where} reads ${tensor} before it is made`);
      if (access === "read" || (access === "update" && made.has(root)))
        assert.is(holds.get(buffer)?.name, tensor.replace(/\+\d+$/, ""), `${where} finds another tensor`);
    }
    for (const { root } of written(dispatch)) {
      holds.set(place.get(root)!, root);
      made.add(root);
    }
  }
}

/** WebGPU: what a dispatch writes may not overlap another of its bindings, nor lie in a buffer that it reads. */
function checkBindings(name: string, p: Program): void {
  for (const dispatch of allDispatches(p)) {
    const list = boundTensors(dispatch);
    list.forEach(({ tensor: a, access: accessA }, i) => {
      assert.is(a.offset % 64, 0, `${name}: ${a.name} starts in the middle of 256 bytes`);
      for (const { tensor: b, access: accessB } of list.slice(i + 1)) {
        if (p.memory.bufferIndex.get(a.root) !== p.memory.bufferIndex.get(b.root)) continue;
        if (accessA === "read" && accessB === "read") continue;
        const apart = a.offset + a.size <= b.offset || b.offset + b.size <= a.offset;
        const bothWritten = accessA !== "read" && accessB !== "read";
        assert.ok(apart && bothWritten, `${name}: ${dispatch.kernel.name} binds ${a.name} and ${b.name} of one buffer`);
      }
    });
  }
}

for (const [name, p] of Object.entries({ ...PLANS, ...DECODERS }))
  test(`${name}: tensors that live at the same time have buffers of their own`, () => {
    checkSharing(name, p);
    checkContents(name, p);
    checkBindings(name, p);
  });

for (const [name, p] of Object.entries(PLANS)) {
  test(`${name}: only trained parameters have a gradient, and only AdamW writes parameters`, () => {
    const training = isTraining(p);
    const { spec, parameters } = p;
    const trained = parameterList(spec).filter(({ isTrained }) => isTrained && training);
    for (const { name: parameter, grad, pieces } of parameters.all.values()) {
      const learns = trained.some((other) => other.name === parameter);
      assert.is(grad !== null, learns, parameter);
      for (const { tensor } of pieces) assert.is(tensor.role, learns ? "trained" : "weight", parameter);
    }
    for (const dispatch of allDispatches(p))
      for (const { root, name: tensor } of written(dispatch)) {
        const allowed = ["activation", "output", "gradient"].includes(root.role) || dispatch.kernel.name === "adamw";
        assert.ok(allowed && root.role !== "weight", `${dispatch.kernel.name} writes ${tensor} (${root.role})`);
      }
    const { byRole } = memoryTotals(p.memory);
    const padded = parameters.pages.reduce((sum, { grad }) => sum + grad.bytes, 0);
    const exact = trained.reduce((sum, { shape }) => sum + numel(shape) * 4, 0);
    const pieces = trained.reduce((sum, { name }) => sum + parameters.all.get(name)!.pieces.length, 0);
    assert.ok(
      padded >= exact && padded <= exact + pieces * 256,
      `${padded} bytes of gradients for ${exact} that learn`,
    );
    assert.is(byRole.get("gradient") ?? 0, padded);
    assert.is(byRole.get("trained") ?? 0, padded);
    assert.is(byRole.get("moment") ?? 0, 2 * padded);
  });
}

/** The linear layers that something follows. */
const withEpilogue = (dispatches: Dispatch[], epilogue: keyof typeof EPILOGUES) =>
  dispatches.filter((one) => one.kernel === linearKernel && scalarAt(one, "epilogue") === EPILOGUES[epilogue]);

/** Names of the parameters that a list's dispatches bind, with the kernels that do. */
function readers(dispatches: Dispatch[], parameter: RegExp): string[] {
  return dispatches.flatMap((one) =>
    tensorsOf(one)
      .filter((t) => parameter.test(t.name))
      .map(() => one.kernel.name),
  );
}

test("the backward list stops below the lowest thing that learns", () => {
  const backward = (name: string) => segment(PLANS[name]!, "backward");
  const count = (name: string, kernel: string) => backward(name).filter((d) => d.kernel.name === kernel).length;

  for (const name of ["lora, head", "last_layer"])
    assert.not.ok(
      [...kernelNames(backward(name))].some((kernel) => /attention|activation|norm|gather|embedding/.test(kernel)),
      `${name}: ${[...kernelNames(backward(name))]}`,
    );

  // q of layer 0 reads ln_1 of layer 0, whose gradient nobody needs.
  assert.is(count("lora, q", "attention_query_backward"), 2);
  assert.not.ok(readers(backward("lora, q"), /^h\.0\.ln_1\./).includes("norm_backward"));
  assert.ok(readers(backward("lora, q"), /^h\.0\.ln_2\./).includes("norm_backward"));
  assert.ok(readers(backward("lora, q"), /^h\.1\.ln_1\./).includes("norm_backward"));

  // proj of layer 0 is above its attention.
  assert.is(count("lora, proj", "attention_query_backward"), 1);
  assert.is(withEpilogue(backward("lora, proj"), "activate_backward").length, 1);

  for (const name of ["last_block", "lora, upper block"]) {
    assert.equal(readers(backward(name), /^(lora\.)?h\.0\./), [], name);
    assert.is(count(name, "attention_keyvalue_backward"), 1, name);
  }
  // Through the upper block, though nothing in it learns.
  assert.is(count("lora, lower block", "attention_query_backward"), 1);
  assert.equal(readers(backward("lora, lower block"), /^h\.0\.(attn\.|ln_|mlp\.c_fc\.)/), []);
  assert.is(count("last_block", "norm_parameters_backward"), 2, "of ln_1 and ln_2; ln_f stays frozen");

  for (const [name, p] of Object.entries(PLANS)) {
    if (!isTraining(p)) continue;
    const embeds = [...kernelNames(segment(p, "backward"))].some((kernel) => kernel.startsWith("embedding"));
    const learnsTokens = ["all", "prompt"].includes(p.spec.mode) || p.parameters.all.has("lora.wte.A");
    assert.is(embeds, learnsTokens, name);
    const backs = segment(p, "backward").some(({ kernel }) => /norm_parameters_backward$/.test(kernel.name));
    assert.is(backs, p.spec.mode === "all" || p.spec.mode === "last_block", name);
  }
});

test("a classifier runs on one row a sequence after the last attention", () => {
  const wide = (p: ModelPlan) =>
    withEpilogue(segment(p, "forward"), "activate_saved").filter(({ scalars }) => scalars.includes("tokens"));
  assert.is(wide(PLANS.lora!).length, 1);
  assert.is(wide(PLANS["lora, activations kept"]!).length, 2);
});

test("the lower and the upper part share nothing and are the whole model, in its order", () => {
  for (const mode of ["last_block", "last_layer", "lora, upper block"]) {
    const [whole, lower, upper] = [PLANS[mode]!, PLANS[`${mode}, lower part`]!, PLANS[`${mode}, upper part`]!];
    const names = (p: ModelPlan) => [...p.parameters.all.keys()];
    const below = mode === "last_layer" ? /^(wte|wpe|h\.\d|ln_f)\./ : /^(wte|wpe|h\.0)\./;
    assert.equal(
      names(lower),
      names(whole).filter((name) => below.test(name)),
    );
    assert.equal(
      names(upper),
      names(whole).filter((name) => !below.test(name)),
    );
    const kernels = (p: ModelPlan) => segment(p, "forward").map(({ kernel }) => kernel.name);
    assert.equal([...kernels(lower), ...kernels(upper)], kernels(whole));
    for (const name of ["backward", "update"] as const)
      assert.equal(
        segment(upper, name).map(({ kernel }) => kernel.name),
        segment(whole, name).map(({ kernel }) => kernel.name),
      );
    assert.equal([lower.features!.tensor.role, upper.features!.tensor.role, whole.features], ["output", "input", null]);
    assert.equal(
      [lower.features!, upper.features!].map(({ tensor, rows }) => [tensor.name, tensor.shape, rows]),
      Array(2).fill(mode === "last_layer" ? ["pooled", [4, 12], "sequences"] : ["block.0", [50, 12], "tokens"]),
    );
  }
});

test("large tables and logits are split into pieces, in the same layout as small ones", () => {
  const pieces = PLANS["lm all in pieces"]!.parameters.all.get("wte.weight")!.pieces;
  assert.equal(
    pieces.map(({ first, tensor }) => [first, ...tensor.shape]),
    [
      [0, 64, 12],
      [64, 64, 12],
      [128, 3, 12],
    ],
  );
  for (const { bytes, label } of PLANS["lm all in pieces"]!.memory.buffers)
    assert.ok(bytes <= 4096 || /^(activations|logits|batch)/.test(label), `${label}: ${bytes} bytes`);
  // Of a batch a kernel sees one table at a time.
  for (const { bytes, name } of Object.values(PLANS["lm all in pieces"]!.batch).filter((one) => one instanceof Tensor))
    assert.ok(bytes <= 4096 || name === "batch", `${name}: ${bytes} bytes`);
  assert.throws(
    () => plan(smallSpec("all", lm), { maxBinding: 1024 }),
    (error: unknown) => error instanceof DeviceError && error.message.includes("wte.weight"),
  );
});

test("pieces of logits are not kept: no two of them live at the same time", () => {
  const { segments, memory } = PLANS["lm all in pieces"]!;
  const used = segments.flatMap(({ dispatches }) => dispatches.flatMap(tensorsOf));
  const logits = new Set(used.filter(({ name }) => name === "logits"));
  assert.is(logits.size, 2 * 3);
  // Six tensors; alive at once are at most one of them and what the dispatches around it use.
  assert.ok(new Set([...logits].map((tensor) => memory.bufferIndex.get(tensor))).size <= 2);
});

test("more tokens than a grid can have workgroups are refused", () => {
  const options = { spec: smallSpec("lora"), optimizer: null, maxBinding: 128 * MIB };
  buildPlan({ ...options, capacity: { tokens: 65535, sequences: 4 } });
  assert.throws(
    () => buildPlan({ ...options, capacity: { tokens: 65536, sequences: 4 } }),
    (error: unknown) => error instanceof ConfigError && error.message.includes("65536"),
  );
});

test("together the plans use every kernel, and each prints all of its own", () => {
  const all = new Set<string>();
  for (const [name, p] of Object.entries({ ...PLANS, ...DECODERS })) {
    const text = printProgram(p);
    for (const kernel of kernelNames(allDispatches(p))) {
      assert.match(text, new RegExp(`\\b${kernel}\\b`), `${name}: ${kernel}`);
      all.add(kernel);
    }
    for (const { label } of p.memory.buffers) assert.ok(text.includes(label), `${name}: ${label}`);
    assert.ok(text.includes(`${memoryTotals(p.memory).total} bytes`));
    assert.not.match(text, /undefined|NaN/, name);
  }
  assert.equal([...all].sort(), KERNELS.map(({ name }) => name).sort());
});

/** "rows" in "2rows" and "rows+1"; "" in "2". */
const letterOf = (axis: string) => axis.replace(/^\d+|\+1$/g, "");

test("every kernel refuses a tensor of another shape than the header of its shader has", () => {
  const tried = new Set<string>();
  for (const { kernel, tensors, scalars } of Object.values({ ...PLANS, ...DECODERS }).flatMap(allDispatches)) {
    const form = [kernel.name, ...tensors.map((one) => one !== null)].join();
    if (!kernel.shapes || tried.has(form)) continue;
    tried.add(form);
    const dims = Object.fromEntries(Object.keys(kernel.dims).map((name, i) => [name, scalars[i]!]));
    const shapes = kernel.shapes.split(", ").map((shape) => shape.split(" "));
    const letters = shapes.flat().map(letterOf);
    for (const [i, axes] of shapes.entries())
      for (const [at, axis] of axes.entries()) {
        const letter = letterOf(axis);
        if (!tensors[i]) continue;
        const { name, dtype, shape } = tensors[i];
        const longer = new Tensor(name, shape.with(at, shape[at]! + 1), "output", dtype);
        const given = Object.keys(kernel.bindings).map((binding, j) => [binding, j === i ? longer : tensors[j]]);
        const run = () => dispatch(kernel, Object.fromEntries(given), dims);
        // A size that only this axis has is any, or at least what is used of it.
        const isFree = letters.filter((one) => one === letter).length === 1 && (at === 0 || dims[letter] === undefined);
        if (letter && isFree) run();
        else assert.throws(run, (error: unknown) => error instanceof ShapeError, `${kernel.name}, ${name}, axis ${at}`);
      }
  }
  assert.ok(tried.size > 30, `${tried.size}`);
});

test("bytes add up, and sharing saves most of the activations", () => {
  for (const [name, { memory, segments }] of Object.entries(PLANS)) {
    const { total, byRole } = memoryTotals(memory);
    assert.is(
      total,
      memory.buffers.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    assert.is(
      total,
      [...byRole.values()].reduce((a, b) => a + b),
    );
    const roots = new Set(segments.flatMap(({ dispatches }) => dispatches.flatMap(tensorsOf).map(({ root }) => root)));
    const apart = [...roots].filter(({ role }) => role === "activation").reduce((sum, { bytes }) => sum + bytes, 0);
    // A head alone has nothing to share.
    const share = segments.every(({ dispatches }) => dispatches.length < 10) ? 1 : 0.8;
    assert.ok(byRole.get("activation")! <= share * apart, `${name}: ${byRole.get("activation")} of ${apart}`);
  }
});

test("bytes are shown in the unit that fits", () => {
  for (const [bytes, shown] of [
    [640, "640 bytes"],
    [9_999, "9999 bytes"],
    [10_000, "10.0 kB"],
    [12_345, "12.3 kB"],
    [999_949, "999.9 kB"],
    [1_000_000, "1.0 MB"],
    [12_345_678, "12.3 MB"],
    [999_950_500, "1000.0 MB"],
    [1_000_000_000, "1.00 GB"],
    [999_995_000_500, "1000.00 GB"],
  ] as const)
    assert.is(formatBytes(bytes), shown);
});

test("what a plan has of another one is not allocated again", () => {
  const sharedFrom = plan(smallSpec("lora"), { optimizer: null });
  const isAdapter = (name: string) => /^(lora|head)\./.test(name);
  const shared = new Map([...sharedFrom.parameters.all].filter(([name]) => !isAdapter(name)));
  const next = plan(smallSpec("lora", { r: 5 }), { optimizer: null, shared });
  const own = [...next.parameters.all.values()].filter(({ name }) => isAdapter(name));
  // Adapters are in pages, each tensor from a multiple of 256 bytes on.
  const size = ({ name, shape }: (typeof own)[number]) =>
    name.startsWith("lora.") ? alignView(numel(shape)) : numel(shape);
  const bytes = own.reduce((sum, parameter) => sum + 4 * size(parameter), 0);
  assert.is(memoryTotals(withoutShared(next, sharedFrom)).byRole.get("weight"), bytes);
  assert.ok(memoryTotals(next.memory).byRole.get("weight")! > bytes);
});

test("tensors that no dispatch touches have a place too", () => {
  const p = PLANS["lora forward"]!;
  const extra = p.parameters.all.get("wte.weight")!.pieces[0]!.tensor;
  assert.equal(planMemory([], [extra]).buffers, [{ label: "wte.weight", role: "weight", bytes: extra.bytes }]);
});

test("a plan that does not fit is refused, with the bytes and the kind that are in the way", () => {
  const { memory } = PLANS.all!;
  const { total } = memoryTotals(memory);
  const roomy = { maxBinding: total, maxBuffer: total };
  checkMemory(memory, { ...roomy, total });
  checkMemory(memory, roomy);
  const message = (limits: Parameters<typeof checkMemory>[1]): string => {
    try {
      checkMemory(memory, limits);
    } catch (error) {
      assert.instance(error, DeviceError);
      return (error as Error).message;
    }
    throw new Error("the plan was not refused");
  };
  const short = message({ ...roomy, total: total - 100 });
  assert.ok(short.includes("100 bytes are missing"), short);
  for (const kind of ["gradients", "optimizer state", "activations"]) assert.ok(short.includes(kind), short);
  const page = PLANS.all!.parameters.pages[0]!.param.bytes;
  for (const limits of [
    { maxBinding: page - 4, maxBuffer: total },
    { maxBinding: total, maxBuffer: page - 4 },
  ]) {
    const large = message(limits);
    assert.ok(large.includes("4 bytes too many"), large);
    assert.ok(large.includes("gradients: gradient page 0"), large);
    assert.ok(large.includes("choose a smaller model"), large);
  }
});

test("operations of a step: 2 of each weight and token forward, 4 backward", () => {
  const tokens = 7;
  const { n_layer, n_embd: C, vocab_size: V } = smallSpec("all").config;
  const weights = n_layer * 12 * C * C + V * C;
  const steps = (["all", "last_block", "lora"] as const).map((mode) => {
    const { segments } = plan(smallSpec(mode, { ...lm, targets: ["q"], r: 3 }));
    return Object.fromEntries(
      segments.map((segment) => [segment.name, countFlops([segment], { tokens, sequences: 1 }) / (2 * tokens)]),
    );
  });
  // The backward pass ends above the lowest gradient: last_block needs none of the lower blocks' inputs, nor the token
  // table's.
  const block = 12 * C * C;
  const [all, lastBlock, lora] = steps as [Record<string, number>, Record<string, number>, Record<string, number>];
  assert.is(all.forward, weights);
  assert.is(all.backward, 2 * weights);
  assert.is(lastBlock.forward, weights);
  assert.is(lastBlock.backward, V * C + 2 * block);
  // A of the lowest block's q needs no gradient of the input: of c_attn only q's third is needed, for B and A.
  assert.is(lora.forward, weights + n_layer * 2 * 3 * C);
  assert.ok(lora.backward! < weights + n_layer * 4 * 3 * C && lora.backward! > weights / 2);
});
