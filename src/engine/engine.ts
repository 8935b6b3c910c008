/**
 * A model on a device, one batch at a time: reads and writes parameters, runs forward passes and training steps. The
 * trainer and the classifier are built on it.
 */
import { type Backend, isDropped, type Session } from "../backend/backend.ts";
import { ShapeError } from "../core/errors.ts";
import type { TensorPiece } from "../core/tensor.ts";
import { type Batch, type Capacity, packBatch, targetWeight } from "../model/batch.ts";
import { buildPlan, type ModelPlan, type Optimizer, type PlanOptions, SLOTS } from "../model/model.ts";
import { offsetIn, pageRates } from "../model/parameters.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { StepUpdate } from "../ops/adamw.ts";
import { rowLosses } from "../ops/crossentropy.ts";
import { NO_VALUES, type StepValues } from "../ops/kernel.ts";
import type { SegmentName } from "../plan/plan.ts";
import { loadQuantizer, Weights } from "./weights.ts";

export interface EngineOptions {
  spec: ModelSpec;
  capacity: Capacity;
  /** As in PlanOptions; null for inference. */
  optimizer: Optimizer | null;
  /** As in PlanOptions. */
  part?: "lower" | "upper";
  shared?: NonNullable<PlanOptions["shared"]>;
  dropout?: PlanOptions["dropout"];
  valueLoss?: PlanOptions["valueLoss"];
  recompute?: boolean;
  keepActivations?: boolean;
  /** Splits tensors into pieces of at most this many bytes, even if the device allows more. For tests. */
  maxBinding?: number;
}

export interface BatchResult {
  /** Weighted mean loss over the rows with a target; with several batches per step, times the batch's weight share. */
  loss: number;
  /** Rows whose target has the largest logit. */
  correct: number;
  /** Global norm of the gradients before clipping; 0 unless the batch is the last of its step. */
  norm: number;
  /** Whether loss and gradients were finite, in this step and all before. Only set for the last batch of a step. */
  finite: boolean;
}

const countRows = ({ ids, starts }: Batch) => ({ tokens: ids.length, sequences: starts.length - 1 });

/** The factor of a row's weighted loss; without targets the loss is 0, not 0 / 0. */
const lossScale = (weight: number) => (weight > 0 ? 1 / weight : 0);

/** A batch, with the scale of its loss and, in the last one of a step, the values of its update. */
interface Work {
  batch: Batch;
  loss_scale: number;
  update: StepUpdate | null;
}

/** Fills `staging` with a batch. Returns the step values, but for the slot. */
export function packWork(
  { batch: inputs, capacity, spec }: ModelPlan,
  staging: Uint32Array,
  { batch, loss_scale, update }: Work,
): StepValues {
  return { ...NO_VALUES, ...packBatch(batch, inputs, staging, capacity, spec), loss_scale, ...update };
}

function stepSegments(i: number, count: number): SegmentName[] {
  return [
    ...(i === 0 ? (["zero"] as const) : []),
    "forward",
    "backward",
    ...(i === count - 1 ? (["update"] as const) : []),
  ];
}

export class Engine extends Weights<ModelPlan> {
  /** AdamW steps taken. */
  steps = 0;
  private slot = 0;
  /** Room for a batch on the host. */
  private readonly staging: Uint32Array;

  constructor(
    plan: ModelPlan,
    session: Session,
    quantize: Awaited<ReturnType<typeof loadQuantizer>>,
    private readonly optimizer: Optimizer | null,
  ) {
    super(plan, session, quantize);
    this.staging = new Uint32Array(plan.batch.root.size);
    for (const page of plan.parameters.pages)
      if (page.rates) session.write(page.rates, pageRates(plan.parameters, page));
  }

  /** The plan that `create` would prepare. Allocates nothing. */
  static plan(backend: Pick<Backend, "limits">, options: EngineOptions): ModelPlan {
    return buildPlan({ ...options, maxBinding: Math.min(options.maxBinding ?? Infinity, backend.limits.maxBinding) });
  }

  /**
   * Builds the plan and prepares it. Frozen parameters that `sharedFrom` has too are shared; all others are zero until
   * they are written.
   */
  static async create(backend: Backend, options: EngineOptions, sharedFrom?: Engine): Promise<Engine> {
    const plan = Engine.plan(backend, sharedFrom ? { ...options, shared: sharedFrom.frozen } : options);
    const quantize = await loadQuantizer(plan, backend);
    return new Engine(plan, await backend.prepare(plan, sharedFrom?.session), quantize, options.optimizer);
  }

  /**
   * Runs `work`, which uses the engine. When the signal aborts, the device drops its pending work; if `work` fails
   * because of that, this rejects with the signal's reason.
   */
  async until<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const drop = () => this.session.drop(true);
    signal?.addEventListener("abort", drop);
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      if (isDropped(error)) signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", drop);
    }
  }

  /** Waits until the device has dropped its pending work; afterwards it accepts work again. */
  async settle(): Promise<void> {
    await this.session.flush();
    this.session.drop(false);
    this.hasChanged = true;
  }

  /** Names of the trainable parameters, in the model's order. */
  get trainableNames(): string[] {
    return [...this.plan.parameters.all.values()].filter(({ grad }) => grad).map(({ name }) => name);
  }

  /** The gradient from the last backward pass, before clipping. */
  readGradient(name: string): Promise<Float32Array> {
    const { grad } = this.parameter(name);
    if (!grad) throw new ShapeError("frozen-tensor", `${name} is frozen and has no gradient`);
    return this.readPieces(grad);
  }

  /** AdamW's moments m and v of a trainable parameter, each in the parameter's shape. */
  async readMoments(name: string): Promise<{ m: Float32Array; v: Float32Array }> {
    const [m, v] = await Promise.all([
      this.readPieces(this.moments(name, "m")),
      this.readPieces(this.moments(name, "v")),
    ]);
    return { m, v };
  }

  /** Writes moments as `readMoments` returns them. */
  writeMoments(name: string, { m, v }: { m: Float32Array; v: Float32Array }): void {
    for (const [key, data] of [
      ["m", m],
      ["v", v],
    ] as const) {
      let at = 0;
      for (const { tensor } of this.moments(name, key)) {
        this.session.write(tensor, data.subarray(at, at + tensor.size));
        at += tensor.size;
      }
    }
  }

  /** Submits a forward pass with the mean loss; `result` and `logits` read its results. Returns the batch's slot. */
  forward(batch: Batch): number {
    return this.evaluate(["forward"], batch);
  }

  /** The features of a batch, computed by a lower part: [N, C] or [B, C]. */
  async computeFeatures(batch: Batch): Promise<Float32Array> {
    const { tensor, rows } = this.plan.features!;
    this.forward(batch);
    return this.session.read(tensor, 0, countRows(batch)[rows] * tensor.shape[1]!);
  }

  /** Forward and backward passes without an update, for tests and diagnosis. */
  gradients(batch: Batch): number {
    return this.evaluate(["zero", "forward", "backward"], batch);
  }

  private evaluate(segments: readonly SegmentName[], batch: Batch): number {
    const loss_scale = lossScale(targetWeight(batch));
    return this.withDerived(segments, (all) => this.submit(all, { batch, loss_scale, update: null }));
  }

  /** Runs segments over a batch; returns the slot of its results. */
  private submit(segments: readonly SegmentName[], work: Work): number {
    const { plan, session, staging } = this;
    const values = packWork(plan, staging, work);
    session.write(plan.batch.root, staging);
    const { features } = plan;
    if (features?.tensor.role === "input") {
      const { features: given = new Float32Array() } = work.batch;
      const size = values[features.rows] * features.tensor.shape[1]!;
      if (given.length !== size)
        throw new ShapeError("missing-features", "the batch lacks the features of its rows", {
          expected: `${size} elements for ${features.tensor.name}`,
          found: `${given.length}`,
        });
      session.write(features.tensor, given);
    }
    this.slot = (this.slot + 1) % SLOTS;
    session.run(segments, { ...values, slot: this.slot });
    return this.slot;
  }

  /**
   * One training step over one batch or several (gradient accumulation): the loss is the mean over all rows with a
   * target, by their weights. Returns the slots of the batches; the last one's has the norm.
   */
  step(batches: readonly Batch[], lr: number): number[] {
    const optimizer = this.optimizer;
    if (!optimizer) throw new ShapeError("not-in-plan", "this plan has no backward pass");
    const update = optimizer.stepValues(lr, this.steps + 1);
    const loss_scale = lossScale(batches.reduce((sum, batch) => sum + targetWeight(batch), 0));
    const slots = this.withDerived([], (derived) =>
      batches.map((batch, i) =>
        this.submit([...(i === 0 ? derived : []), ...stepSegments(i, batches.length)], { batch, loss_scale, update }),
      ),
    );
    this.steps++;
    this.hasChanged = true;
    return slots;
  }

  async result(slot: number): Promise<BatchResult> {
    const [loss, correct, norm, finite] = await this.session.read(this.plan.metrics, slot * 4, 4);
    return { loss: loss!, correct: correct!, norm: norm!, finite: finite === 1 };
  }

  /** Logits [rows, classes] of the last forward pass. Throws ShapeError if the model's logits are split into pieces. */
  async logits(rows: number): Promise<Float32Array> {
    const [piece, ...more] = this.plan.logits;
    if (!piece || more.length > 0)
      throw new ShapeError("not-in-plan", "the logits of this model are computed in pieces and not kept");
    return this.session.read(piece.tensor, 0, rows * piece.tensor.shape[1]!);
  }

  /** The loss of each of the `rows` rows of the last forward pass, in nats. */
  async losses(rows: number): Promise<Float64Array> {
    return rowLosses(await this.session.read(this.plan.losses!, 0, rows * 4));
  }

  /** Allows updates again after a loss or a gradient that was not finite. */
  resume(): void {
    if (this.plan.stopped) this.session.write(this.plan.stopped, new Uint32Array(1));
  }

  /** A parameter's moments are at the offset of its gradient, each in its own page. */
  private moments(name: string, key: "m" | "v"): TensorPiece[] {
    const { grad } = this.parameter(name);
    if (!grad) throw new ShapeError("frozen-tensor", `${name} is frozen and has no moments`);
    return grad.map(({ tensor, first }) => {
      const page = this.plan.parameters.pages.find((candidate) => offsetIn(candidate, tensor) !== null)!;
      return { tensor: page[key].view(`${key} ${name}`, tensor.shape, offsetIn(page, tensor)!), first };
    });
  }
}
