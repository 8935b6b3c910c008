/** A run's predicted memory and work. Apart from its records: a page that classifies has no plan. */
import type { DeviceInfo } from "../backend/backend.ts";
import type { ModelPlan } from "../model/model.ts";
import { memoryTotals } from "../plan/memory.ts";
import type { TrainEvent, TrainResult } from "./records.ts";

/** The memory of a run: that of its steps, and of the lower part, which computes features before and after them. */
export function runMemory({ plan, features }: Pick<TrainResult, "features"> & { plan: Pick<ModelPlan, "memory"> }) {
  const { memory } = plan;
  return { ...memory, buffers: [...memory.buffers, ...(features?.plan.memory.buffers ?? [])] };
}

/** The peak memory of a run, in bytes. */
export const peakMemory = (run: Pick<TrainResult, "plan" | "features">): number =>
  memoryTotals(runMemory(run)).total + (run.features?.bytes ?? 0);

export function planEvent(
  run: Pick<TrainResult, "options" | "spec" | "plan" | "trainable" | "flops" | "features">,
  device: DeviceInfo,
): Extract<TrainEvent, { type: "plan" }> {
  const { options, spec, plan, trainable, flops, features } = run;
  const byRole = Object.fromEntries(memoryTotals(runMemory(run)).byRole);
  return {
    type: "plan",
    options,
    spec,
    device,
    trainable,
    flops,
    tokens: plan.capacity.tokens,
    recomputed: plan.recomputed,
    memory: { peak: peakMemory(run), byRole },
    features: features && { plan: memoryTotals(features.plan.memory).total, kept: features.bytes },
  };
}
