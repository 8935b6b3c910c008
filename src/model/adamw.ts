/** AdamW as what trains a model: the backward list, and the update behind it. */

import { Tensor } from "../core/tensor.ts";
import { type AdamWConfig, adamw, adamwStepValues, type StepUpdate } from "../ops/adamw.ts";
import { countPartials, gradnorm } from "../ops/gradnorm.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { Backward } from "./backward.ts";
import type { Forward, Loss, Optimizer, Training } from "./model.ts";

export class AdamW implements Optimizer {
  constructor(readonly config: AdamWConfig) {}

  minimize(forward: Forward, loss: Loss): Training {
    const { list, recomputed } = new Backward(forward, loss);
    const stopped = new Tensor("stopped", [1], "output", "u32");
    const clears = forward.parameters.pages.map(({ grad }) => grad);
    return {
      before: { name: "zero", clears, dispatches: [] },
      behind: [
        { name: "backward", clears: [], dispatches: list },
        { name: "update", clears: [], dispatches: this.update(forward, stopped) },
      ],
      stopped,
      recomputed,
    };
  }

  stepValues(lr: number, t: number): StepUpdate {
    return adamwStepValues(this.config, lr, t);
  }

  private update({ metrics, parameters }: Forward, stopped: Tensor): Dispatch[] {
    const gradients = parameters.pages.map(({ grad }) => grad);
    const count = gradients.reduce((sum, grad) => sum + countPartials(grad), 0);
    const partial = new Tensor("norm.partial", [count], "activation");
    return [
      ...gradnorm(metrics, stopped, partial, gradients),
      ...parameters.pages.map((page) => adamw(page, metrics, stopped, this.config)),
    ];
  }
}
