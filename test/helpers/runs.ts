/** Runs of a tiny model: what they start from, how one is stopped, and how two are compared. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import type { Tensors } from "../../src/io/peft/peft.ts";
import type { RunRecord } from "../../src/record/record.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import type { Checkpoint, TrainResult } from "../../src/train/records.ts";
import { assertSameBits, temporaryFolder } from "./border.ts";
import { afterAll } from "./harness.ts";
import { tinyModel } from "./tiny.ts";

/**
 * A tiny model and data beside it, opened when they are first asked for; the model is closed after the file's last
 * test.
 */
export function modelAnd<Data>(load: () => Promise<Data>): () => Promise<{ model: BaseModel; data: Data }> {
  let shared: Promise<{ model: BaseModel; data: Data }> | undefined;
  afterAll(async () => (await shared)?.model.close());
  const open = async () => ({
    model: await openBaseModel(tinyModel(join(temporaryFolder(), "model"))),
    data: await load(),
  });
  return () => {
    shared ??= open();
    return shared;
  };
}

/** Stops a run after `step` steps and returns its checkpoint. `run` passes the options on. */
export async function stopAfter(
  step: number,
  run: (options: Pick<TrainArguments, "signal" | "checkpointEvery" | "onCheckpoint">) => Promise<unknown>,
): Promise<Checkpoint> {
  const abort = new AbortController();
  let kept: Checkpoint | undefined;
  await run({
    signal: abort.signal,
    checkpointEvery: step,
    onCheckpoint: async (checkpoint) => {
      if (checkpoint.step === step) kept = checkpoint;
      abort.abort();
    },
  });
  assert.ok(kept, `no checkpoint at step ${step}`);
  return kept;
}

/** Throws unless an event is plain JSON. */
export function assertPlain(event: object): void {
  assert.equal(JSON.parse(JSON.stringify(event)), event);
  assert.equal(structuredClone(event), event);
}

/** Throws unless both have the same tensors in the same order, bit for bit. */
export function assertSameTensors(got: Tensors, want: Tensors): void {
  assert.equal([...got.keys()], [...want.keys()]);
  for (const [name, { data }] of want) assertSameBits(name, got.get(name)!.data, data);
}

/** The result of `train`, or of `fineTune`. */
type Run = TrainResult & { record?: RunRecord };

/** A record without what depends on the time and on the plan. */
function timeless({ created: _, seconds: _s, memory: _m, flops: _f, ...rest }: RunRecord): object {
  return rest;
}

/**
 * Throws unless two runs have the same settings and results, bit for bit. Their plans and times may differ, and their
 * work where only one computes features once.
 */
export function assertSameRun(got: Run, want: Run): void {
  const { plan: _, features, seconds: _s, flops, tensors, finalNorm, record, ...rest } = got;
  if (Boolean(features) === Boolean(want.features)) assert.is(flops, want.flops);
  for (const [key, value] of Object.entries(rest))
    if (typeof value !== "function") assert.equal(value, want[key as keyof TrainResult], key);
  assert.equal(record && timeless(record), want.record && timeless(want.record), "record");
  assertSameTensors(tensors, want.tensors);
  for (const key of ["weight", "bias"] as const) assertSameBits(`ln_f.${key}`, finalNorm![key], want.finalNorm![key]);
}
