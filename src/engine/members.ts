import { ConfigError, DeviceError } from "../errors.ts";
import { loraAdapters } from "../methods/lora.ts";
import { type Batch, type Capacity, makeBatchInputs } from "../model/batch.ts";
import { buildPlan, checkRows, type ModelPlan, type Optimizer, type PlanOptions, SLOTS } from "../model/model.ts";
import type { Parameter, Parameters } from "../model/parameters.ts";
import { frozenBlocks, type ModelSpec } from "../model/trainable.ts";
import { MAX_MEMBERS } from "../ops/shares.ts";
import { type BufferPlace, fuse, together } from "../plan/fuse.ts";
import { formatBytes, planMemory } from "../plan/memory.ts";
import { isMean } from "../tasks/index.ts";
import { Tensor, type TensorPiece } from "../tensor.ts";

/** A member of a plan: in mode lora, with the same base model, objective and classes as the others. */
export interface MemberOptions {
  spec: ModelSpec;
  optimizer: Optimizer;
}

/**
 * A plan that several members share; `parameters`, `spec` and `stopped` are the first one's, `capacity` is that of all.
 */
export interface SharedPlan extends ModelPlan {
  members: readonly Pick<ModelPlan, "spec" | "parameters" | "stopped">[];
}

/** Throws ConfigError if members cannot share a plan. */
function checkMembers(members: readonly MemberOptions[], part?: PlanOptions["part"]): void {
  if (members.length > MAX_MEMBERS)
    throw new ConfigError("cannot-share-plan", "too many adapters for one plan", {
      expected: `at most ${MAX_MEMBERS}`,
      found: String(members.length),
    });
  const common = ({ config, task, mode, dtype, train_head }: ModelSpec) =>
    JSON.stringify([config, task.objective, task.num_labels, isMean(task), mode, dtype ?? "f32", train_head]);
  if (members.length < 2) return;
  const frozen = members.map(({ spec }) => frozenBlocks(spec));
  if (part && frozen.some((count) => count !== frozen[0]))
    throw new ConfigError("cannot-share-plan", "adapters that begin in other blocks cannot share a plan", {
      expected: `${frozen[0]} frozen blocks`,
      found: frozen.join(", "),
    });
  for (const { spec } of members) {
    const { use_dora, lora_dropout = 0 } = spec.lora ?? {};
    const adaptsTokens = spec.lora && loraAdapters(spec.config, spec.lora).some(({ target }) => target === "wte");
    const found = use_dora ? "DoRA" : adaptsTokens ? "wte" : lora_dropout > 0 && `dropout ${lora_dropout}`;
    if (found)
      throw new ConfigError("cannot-share-plan", "models that cannot share a plan", {
        expected: "plain LoRA",
        found,
      });
    if (spec.lora === null || common(spec) !== common(members[0]!.spec))
      throw new ConfigError("cannot-share-plan", "models that cannot share a plan", {
        expected: "LoRA of one model, task, pooling and dtype",
        found: `mode ${spec.mode}, ${spec.task.num_labels} classes, ${spec.dtype ?? "f32"}, ${spec.task.pooling}`,
      });
  }
}

/**
 * The plan of the members, each with a share of `capacity`. Throws ConfigError or DeviceError if they cannot share it.
 */
export function planMembers(
  members: readonly MemberOptions[],
  options: Omit<PlanOptions, keyof MemberOptions | "shared">,
): SharedPlan {
  checkMembers(members, options.part);
  // A frozen head is a member's own.
  const sharable = (all: Iterable<[string, Parameter]>) => new Map([...all].filter(([, one]) => isShared(one)));
  const build = ({ spec, optimizer }: MemberOptions, shared?: PlanOptions["shared"]) =>
    buildPlan({ ...options, spec, optimizer, shared });
  const first = build(members[0]!);
  if (members.length === 1) return { ...first, members: [first] };
  const shared = sharable(first.parameters.all);
  const plans = [first, ...members.slice(1).map((member) => build(member, shared))];
  const capacity = times(first.capacity, plans.length);
  checkRows(capacity.tokens);
  const batch = makeBatchInputs(first.spec, capacity);
  const metrics = new Tensor("metrics", [plans.length * SLOTS, 4], "output");
  const stopped = first.stopped && new Tensor("stopped", [plans.length], "output", "u32");
  const own = new Map<Tensor, BufferPlace>(ownBuffers(plans, options.maxBinding));
  for (const [i, plan] of plans.entries()) {
    own.set(plan.metrics, { root: metrics, at: i * SLOTS * 4 });
    if (stopped) own.set(plan.stopped!, { root: stopped, at: i });
  }
  const inputs = plans.flatMap(({ batch: { byId: _, draws: _d, ...tensors } }) =>
    Object.entries(tensors).map(([name, tensor]) => [tensor, batch[name as keyof typeof tensors]] as const),
  );
  const { segments, place } = fuse(
    plans.map((plan) => plan.segments),
    { shares: batch.shares, members: plans.length },
    { batch: new Map(inputs), own },
  );
  const fused = plans.map(({ spec, parameters, stopped }) => {
    return { spec, parameters: placeParameters(parameters, place), stopped: stopped && place(stopped) };
  });
  const whole = (tensor: Tensor) => place(tensor).root;
  const weights = fused.flatMap(({ parameters: { all } }) => [...all.values()].flatMap(({ pieces }) => pieces));
  const { features, logits, losses, recomputed } = first;
  return {
    ...fused[0]!,
    members: fused,
    capacity,
    segments,
    memory: planMemory(segments, [...weights.map(({ tensor }) => tensor), batch.root]),
    batch,
    metrics,
    features: features && { ...features, tensor: whole(features.tensor) },
    logits: logits.map(({ tensor, first }) => ({ tensor: whole(tensor), first })),
    losses: losses && whole(losses),
    recomputed,
    activations: new Map(),
  };
}

const times = ({ tokens, sequences }: Capacity, n: number): Capacity => ({
  tokens: tokens * n,
  sequences: sequences * n,
});

/** Whether the members share a parameter: the base model's, which none of them trains. */
const isShared = ({ origin, grad }: Parameter) => origin === "base" && grad === null;

/** The buffers of what is a member's own, by role one behind the other. Throws DeviceError for more than a binding. */
function ownBuffers(plans: readonly ModelPlan[], maxBinding: number): [Tensor, BufferPlace][] {
  const byRole = new Map<string, Set<Tensor>>();
  const add = (name: string, { root }: Tensor) => byRole.set(name, (byRole.get(name) ?? new Set()).add(root));
  for (const { parameters } of plans) {
    for (const parameter of parameters.all.values())
      if (!isShared(parameter)) for (const { tensor } of parameter.pieces) add(tensor.role, tensor);
    for (const { grad, m, v, rates } of parameters.pages) {
      for (const [name, tensor] of Object.entries({ grad, m, v })) add(name, tensor);
      if (rates) add("rates", rates);
    }
  }
  return [...byRole].flatMap(([name, buffers]) => {
    const places = together(name, [...buffers]);
    const [{ root }] = places.values() as Iterable<BufferPlace> as [BufferPlace];
    if (root.bytes > maxBinding)
      throw new DeviceError("buffer-too-large", "the adapters do not fit into one binding", {
        expected: `at most ${formatBytes(maxBinding)}`,
        found: `${formatBytes(root.bytes)} for ${plans.length} adapters`,
        hint: "train fewer adapters at a time",
      });
    return [...places];
  });
}

function placeParameters({ all, pages }: Parameters, place: (tensor: Tensor) => Tensor): Parameters {
  const placePieces = (pieces: readonly TensorPiece[]) =>
    pieces.map(({ tensor, first }) => ({ tensor: place(tensor), first }));
  const placed = [...all].map(([name, parameter]): [string, Parameter] => {
    const { pieces, grad } = parameter;
    // Engines recognise what they share by its identity.
    if (isShared(parameter)) return [name, parameter];
    return [name, { ...parameter, pieces: placePieces(pieces), grad: grad && placePieces(grad) }];
  });
  return {
    all: new Map(placed),
    pages: pages.map(({ param, grad, m, v, rates }) => {
      return { param: place(param), grad: place(grad), m: place(m), v: place(v), rates: rates && place(rates) };
    }),
  };
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
    values:
      batches[0]!.values && join(new Float32Array(total(({ values }) => values!.length)), ({ values }) => values!),
  };
}
