/** The check of a WebGPU device before it trains: a step with its update. */
import type { Backend } from "../backend/backend.ts";
import { type CheckOptions, type Choice, chooseDevice, type Whole } from "../engine/device-check.ts";
import { AdamW } from "../model/adamw.ts";
import type { PreparedRun } from "./prepare.ts";
import type { FeaturePlan } from "./records.ts";

type Run = Pick<PreparedRun, "spec" | "capacity" | "optimizer" | "dropout" | "valueLoss" | "plan"> & {
  features?: Pick<FeaturePlan, "plan"> | null;
};

/** The device for a run: see `chooseDevice`. */
export const chooseForRun = (device: Backend, run: Run, options: CheckOptions): Promise<Choice> =>
  chooseDevice(device, trainingOf(device, run), options);

/** What a run computes. */
export function trainingOf(device: Pick<Backend, "limits" | "info">, run: Run): Whole {
  const { spec, plan, features, optimizer } = run;
  const programs = [plan, ...(features ? [features.plan] : [])];
  return {
    name: "training",
    spec,
    programs,
    async loadWork() {
      // With so large an `eps` an update is about proportional to the gradient.
      const smooth = new AdamW({ ...optimizer.config, eps: 1 });
      const { engineWork } = await import("../engine/check-work.ts");
      return engineWork(device, { ...run, recompute: plan.recomputed > 0, optimizer: smooth }, programs);
    },
  };
}
