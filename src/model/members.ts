/** Several adapters in one plan: which can share it, their tensors, their joint batch. Loaded only for such plans. */
import { ConfigError, DeviceError } from "../errors.ts";
import { linearGrouped, matmulGrouped } from "../ops/grouped.ts";
import { MAX_MEMBERS } from "../ops/shares.ts";
import { showBytes } from "../plan/memory.ts";
import { Tensor, VIEW_ALIGN } from "../tensor.ts";
import type { Batch } from "./batch.ts";
import type { MemberOptions, PlanOptions } from "./gpt2.ts";
import {
  hasRates,
  type Layout,
  layOut,
  type MembersModule,
  makeParameters,
  type PageKind,
  type Parameters,
  place,
  type Wanted,
} from "./parameters.ts";
import { frozenBlocks, type ModelSpec } from "./trainable.ts";

/** Throws ConfigError if members cannot share a plan. */
export function checkMembers(members: readonly MemberOptions[], part?: PlanOptions["part"]): void {
  if (members.length > MAX_MEMBERS)
    throw new ConfigError("cannot-share-plan", "too many adapters for one plan", {
      expected: `at most ${MAX_MEMBERS}`,
      found: String(members.length),
    });
  const common = ({ config, task, mode, dtype, train_head }: ModelSpec) =>
    JSON.stringify([config, task.objective, task.num_labels, mode, dtype ?? "f32", train_head]);
  if (members.length < 2) return;
  const frozen = members.map(({ spec }) => frozenBlocks(spec));
  if (part && frozen.some((count) => count !== frozen[0]))
    throw new ConfigError("cannot-share-plan", "adapters that begin in other blocks cannot share a part of the model", {
      expected: `${frozen[0]} frozen blocks below all of them`,
      found: frozen.join(", "),
    });
  for (const { spec } of members) {
    if (spec.lora?.modulesToSave?.length)
      throw new ConfigError("cannot-share-plan", "models that train tensors of the base model cannot share a plan", {
        expected: "adapters and heads",
        found: spec.lora.modulesToSave.join(", "),
      });
    if (spec.lora?.use_dora)
      throw new ConfigError("cannot-share-plan", "an adapter with DoRA cannot share a plan", {
        expected: "LoRA without magnitudes",
      });
    if (spec.lora === null || common(spec) !== common(members[0]!.spec))
      throw new ConfigError("cannot-share-plan", "models that cannot share a plan", {
        expected: "adapters in mode lora of the same model and objective, with the same classes and type of weights",
        found: `mode ${spec.mode}, ${spec.task.num_labels} classes, ${spec.dtype ?? "f32"}`,
      });
  }
}

/** The concatenated batches of several members, without features. */
export function joinBatches(batches: readonly Batch[]): Batch {
  if (batches.length === 1) return batches[0]!;
  const join = <T extends Uint32Array | Int32Array | Float32Array>(
    into: T,
    of: (batch: Batch, token: number) => T,
  ): T => {
    let [at, token] = [0, 0];
    for (const batch of batches) {
      const part = of(batch, token);
      into.set(part, at);
      at += part.length;
      token += batch.ids.length;
    }
    return into;
  };
  const total = (of: (batch: Batch) => number) => batches.reduce((sum, batch) => sum + of(batch), 0);
  const tokens = total(({ ids }) => ids.length);
  const starts = new Uint32Array(total(({ starts }) => starts.length - 1) + 1).fill(tokens);
  const targets = new Int32Array(total(({ targets }) => targets.length));
  const isWeighted = batches.some(({ weights }) => weights);
  const rowWeights = ({ weights, targets }: Batch) => weights ?? new Float32Array(targets.length).fill(1);
  return {
    ids: join(new Uint32Array(tokens), ({ ids }) => ids),
    starts: join(starts, ({ starts }, token) => starts.subarray(0, -1).map((start) => start + token)),
    rows: join(new Uint32Array(total(({ rows }) => rows.length)), ({ rows }, token) => rows.map((row) => row + token)),
    targets: join(targets, ({ targets }) => targets),
    weights: isWeighted ? join(new Float32Array(targets.length), rowWeights) : undefined,
  };
}

/**
 * The tensors of several members, which share the frozen ones. A member's pages are as in a plan of its own; all pages
 * are in one buffer, so that the same dispatches handle them. Throws DeviceError if they do not fit into a binding.
 */
function makeMembers(specs: readonly ModelSpec[], wanted: Wanted): Parameters[] {
  if (specs.length === 1) return [makeParameters(specs[0]!, wanted)];
  const layouts: Layout[] = [];
  for (const spec of specs) layouts.push(layOut(spec, { ...wanted, shared: layouts[0]?.all ?? wanted.shared }, true));
  const total = (kind: PageKind) =>
    layouts.flatMap(({ pageSizes }) => pageSizes[kind]).reduce((sum, size) => sum + size, 0);
  const bytes = 4 * Math.max(total("trained"), total("frozen"));
  if (bytes > wanted.maxBinding)
    throw new DeviceError("buffer-too-large", "the adapters of a plan do not fit into one binding of the device", {
      expected: `at most ${showBytes(wanted.maxBinding)}`,
      found: `${showBytes(bytes)} for ${specs.length} adapters`,
      hint: "train fewer adapters at a time",
    });
  const roots = new Map<string, { root: Tensor; at: number }>();
  const rated = layouts.some(hasRates);
  return layouts.map((layout) =>
    place(layout, wanted.training, rated, (name, role, sizes) => {
      if (!roots.has(name)) {
        // A rate belongs to VIEW_ALIGN elements.
        const size = name === "rates" ? total("trained") / VIEW_ALIGN : total(name === "frozen" ? name : "trained");
        roots.set(name, { root: new Tensor(name, [size], role), at: 0 });
      }
      const open = roots.get(name)!;
      return sizes.map((size, i) => {
        const page = open.root.view(`${name} page ${i}`, [size], open.at);
        open.at += size;
        return page;
      });
    }),
  );
}

export const MEMBERS: MembersModule = { parameters: makeMembers, matmul: matmulGrouped, linear: linearGrouped };
