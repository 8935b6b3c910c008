/** The check of a WebGPU device before it trains: a step with its update. */
import type { Backend } from "../backend/backend.ts";
import { type CheckOptions, type Choice, chooseDevice, type Whole } from "../engine/device-check.ts";
import { AdamW } from "../model/adamw.ts";
import type { PreparedRun } from "./prepare.ts";
import type { FeaturePlan } from "./records.ts";

type Run = Pick<PreparedRun, "spec" | "capacity" | "optimizer" | "dropout" | "valueLoss" | "plan"> & {
  features?: Pick<FeaturePlan, "plan"> | null;
};
type Runs = readonly [Run, ...Run[]];

/** The device for runs that are to share a plan, or for one: see `chooseDevice`. */
export const chooseForRuns = async (device: Backend, runs: Runs, options: CheckOptions): Promise<Choice> =>
  chooseDevice(device, await trainingOf(device, runs), options);

/** What runs that share a plan compute, or one. */
export async function trainingOf(device: Pick<Backend, "limits" | "info">, runs: Runs): Promise<Whole> {
  const [{ plan, features, valueLoss }] = runs;
  const recompute = plan.recomputed > 0;
  const together = { members: runs, valueLoss, recompute, ...(features && { part: "upper" as const }) };
  const whole = runs.length > 1 ? (await import("../engine/group.ts")).Group.plan(device, together) : plan;
  const programs = [whole, ...(features ? [features.plan] : [])];
  return {
    name: runs.length > 1 ? "training together" : "training",
    specs: runs.map(({ spec }) => spec),
    programs,
    async loadWork() {
      // With so large an `eps` an update is about proportional to the gradient.
      const smooth = ({ config }: AdamW) => new AdamW({ ...config, eps: 1 });
      const { engineWork } = await import("../engine/check-work.ts");
      return engineWork(
        device,
        runs.map((run) => ({ ...run, recompute, optimizer: smooth(run.optimizer) })),
        programs,
      );
    },
  };
}
