/**
 * Rows that name different adapters of one base model. Adapters in mode lora with as many classes share a plan, in
 * which each has a share of every batch (as in S-LoRA, Sheng et al. 2023); others have a plan of their own. All plans
 * use the same tensors of the base model.
 */
import type { Backend } from "../backend/backend.ts";
import { isMean } from "../config.ts";
import { Engine } from "../engine/engine.ts";
import { joinBatches, planMembers, type SharedPlan } from "../engine/members.ts";
import { writeTrained } from "../engine/state.ts";
import { Weights } from "../engine/weights.ts";
import { LowrankError } from "../errors.ts";
import type { Adapter } from "../io/peft.ts";
import type { Capacity } from "../model/batch.ts";
import type { ModelPlan } from "../model/model.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { MAX_MEMBERS } from "../ops/shares.ts";
import { fits, withoutShared } from "../plan/memory.ts";
import { fill, withBase } from "./adapter-model.ts";
import { loadCheck } from "./device.ts";
import { capacityFor, computeLogits, type Rows, SEQUENCES } from "./rows.ts";

/** Tokens per batch of a plan with several members, and the most where one text of each needs more. */
const TOKENS = 2048;
const MOST_TOKENS = 8192;

/** An adapter, and the most tokens of a text that it reads. */
interface NamedAdapter {
  name: string;
  spec: ModelSpec;
  longest: number;
}

/** Adapters that share a plan, in the order of its members. */
interface Together {
  adapters: readonly NamedAdapter[];
  engine: Engine | null;
}

/** The parts of the model that are on the device. */
interface OnDevice {
  /** The active adapter, which has a plan of its own already. */
  active: { name: string | null; engine: Engine };
  /** The engine whose base model others share. */
  sharedFrom(): Engine;
  /** Directory of the base model, for tensors that are not shared. */
  directory: string;
  loadedAdapter(name: string): Promise<Adapter>;
}

const NO_ROWS: Rows = { tokens: [], padTo: 0, pad: 0, pooling: "last" };

export class MixedPlans {
  private readonly plans: readonly Together[];

  /**
   * Divides the adapters into plans, beside that of `base`. Memory is allocated for a plan when a row first names one
   * of its adapters.
   */
  constructor(
    private readonly device: Backend,
    base: Engine,
    adapters: readonly NamedAdapter[],
  ) {
    const planFor = (some: readonly NamedAdapter[]) => {
      try {
        return planTogether(device, some, base.frozen);
      } catch (error) {
        if (error instanceof LowrankError) return null;
        throw error;
      }
    };
    const hasRoom = (plan: ModelPlan) => fits(withoutShared(plan, base.plan), device.limits);
    this.plans = divide(adapters, planFor, hasRoom).map((adapters) => ({ adapters, engine: null }));
  }

  get engines(): Engine[] {
    return this.plans.flatMap(({ engine }) => engine ?? []);
  }

  /** The logits [rows, classes] of each adapter's rows. */
  async logits(rows: ReadonlyMap<string, Rows>, model: OnDevice): Promise<Map<string, Float32Array>> {
    const results = new Map<string, Float32Array>();
    for (const plan of this.plans) {
      const names = plan.adapters.map(({ name }) => name);
      if (!names.some((name) => rows.has(name))) continue;
      const logits = await computeLogits(
        await this.openEngine(plan, model),
        names.map((name) => rows.get(name) ?? NO_ROWS),
        joinBatches,
      );
      for (const [i, name] of names.entries()) results.set(name, logits[i]!);
    }
    return results;
  }

  destroy(): void {
    for (const engine of this.engines) engine.destroy();
  }

  private async openEngine(
    shared: Together,
    { active, sharedFrom, directory, loadedAdapter }: OnDevice,
  ): Promise<Engine> {
    const { adapters: named } = shared;
    const { device } = this;
    if (shared.engine) return shared.engine;
    if (named.length === 1 && named[0]!.name === active.name) return active.engine;
    // Each was checked alone when it was loaded.
    const check = named.length > 1 && (await loadCheck(device));
    if (check) await withBase(directory, (model) => check.checkShared(device, model, named, sharedCapacity(named)));
    const adapters: Adapter[] = [];
    for (const { name } of named) adapters.push(await loadedAdapter(name));
    const from = sharedFrom();
    const plan = planTogether(device, named, from.frozen);
    const engine = await fill(await Engine.open(device, plan, null, from), adapters[0]!, directory, from);
    try {
      // The first member's parameters are the plan's. None of their own are in blocks.
      for (const [i, { tensors }] of adapters.entries())
        if (i > 0) writeTrained(new Weights({ ...plan, ...plan.members[i]! }, engine.session, null), tensors);
    } catch (error) {
      engine.destroy();
      throw error;
    }
    shared.engine = engine;
    return engine;
  }
}

/** A plan for adapters that share it, or for one. */
function planTogether(
  { limits: { maxBinding } }: Backend,
  adapters: readonly NamedAdapter[],
  shared: Engine["frozen"],
): SharedPlan {
  const capacity = adapters.length === 1 ? capacityFor(longestRow(adapters)) : sharedCapacity(adapters);
  const members = adapters.map(({ spec }) => ({ spec, optimizer: null }));
  return planMembers(members, { capacity, maxBinding, shared });
}

/** Each adapter's share of a batch. */
const sharedCapacity = (adapters: readonly NamedAdapter[]): Capacity => ({
  tokens: Math.max(longestRow(adapters), Math.floor(TOKENS / adapters.length)),
  sequences: SEQUENCES,
});

const longestRow = (adapters: readonly NamedAdapter[]) => Math.max(...adapters.map(({ longest }) => longest));

/** The adapters of each plan. `planFor`: a plan for several, or null; `hasRoom`: whether it fits on the device. */
function divide(
  adapters: readonly NamedAdapter[],
  planFor: (adapters: readonly NamedAdapter[]) => ModelPlan | null,
  hasRoom: (plan: ModelPlan) => boolean,
): NamedAdapter[][] {
  const groups = new Map<string, NamedAdapter[]>();
  for (const adapter of adapters) {
    const { task } = adapter.spec;
    // One that can share a plan with none is alone.
    const key = JSON.stringify(
      planFor([adapter, adapter]) ? [task.num_labels, task.head_bias, isMean(task)] : adapter.name,
    );
    groups.set(key, [...(groups.get(key) ?? []), adapter]);
  }
  const fit = (some: readonly NamedAdapter[]) => {
    const plan = planFor(some);
    return plan !== null && hasRoom(plan);
  };
  return [...groups.values()].flatMap((group) => {
    const plans: NamedAdapter[][] = [];
    for (let first = 0; first < group.length; first += plans.at(-1)!.length) {
      let some = group.slice(first, first + Math.min(MAX_MEMBERS, Math.floor(MOST_TOKENS / longestRow(group)) || 1));
      while (some.length > 1 && !fit(some)) some = some.slice(0, Math.floor(some.length / 2));
      plans.push(some);
    }
    return plans;
  });
}
