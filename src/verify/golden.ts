/**
 * Golden fixtures: runs the case described in a file and compares every tensor with PyTorch's.
 * Format and tolerances: test/golden/README.md.
 */
import type { Backend } from "../backend/backend.ts";
import type { LoraConfig, MethodSizes, Mode, Objective, Scaling, Target } from "../config.ts";
import { Engine } from "../engine/engine.ts";
import { FormatError } from "../errors.ts";
import { parseJson } from "../io/limits.ts";
import type { SafetensorsFile } from "../io/safetensors.ts";
import type { Batch } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { AdamWConfig } from "../ops/adamw.ts";

/** The entries of a fixture's `case` metadata that are used. */
interface Case extends MethodSizes {
  name: string;
  objective: Objective;
  mode: Mode;
  position: "last" | "last_token";
  num_labels: number;
  config: ModelSpec["config"];
  lora: { targets: Target[]; r: number; alpha: number; scaling: Scaling; train_head_base: boolean } | null;
  optim: { lr: number; betas: [number, number]; eps: number; weight_decay: number };
  activations: boolean;
  curve?: unknown;
}

/** The comparison of a fixture's tensor with the computed one. */
export interface Comparison {
  name: string;
  /** logits, act, grad, loss, step1, step3, curve: the kinds of the README's table. */
  kind: string;
  measure: "relative L2" | "absolute" | "relative L2 of the update";
  error: number;
  tolerance: number;
}

export interface GoldenResult {
  case: string;
  comparisons: Comparison[];
  /** All computed tensors, by the names that `verify --out` writes. */
  actual: Map<string, { shape: number[]; data: Float32Array }>;
}

/** Tolerances for float32 (test/golden/README.md). The errors of PyTorch in float32 are 20 to 1000 times smaller. */
const TOLERANCE = {
  logits: 1e-4,
  act: 1e-4,
  grad: 1e-4,
  loss: 1e-4,
  step1: 5e-4,
  step3: 3e-3,
  curveLoss: 2e-4,
  curve: 1e-3,
};
/** If the expected gradient is all zeros, every element must be below this. */
const ZERO_GRADIENT = 1e-6;

/** Runs one fixture file on a device. */
export async function runGolden(file: SafetensorsFile, backend: Backend): Promise<GoldenResult> {
  const text = file.metadata.case;
  if (text === undefined) throw new FormatError("not a golden fixture", { expected: "metadata with an entry `case`" });
  const summary = "the entry `case` of a golden fixture is not JSON";
  return new Golden(file, parseJson(new TextEncoder().encode(text), "case", summary) as Case).run(backend);
}

class Golden {
  private readonly comparisons: Comparison[] = [];
  private readonly actual: GoldenResult["actual"] = new Map();
  private readonly spec: ModelSpec;
  private readonly optimizer: AdamWConfig;

  constructor(
    private readonly file: SafetensorsFile,
    private readonly c: Case,
  ) {
    const lora: LoraConfig | null = c.lora && {
      r: c.lora.r,
      lora_alpha: c.lora.alpha,
      scaling: c.lora.scaling,
      init: "kaiming",
      target_modules: c.lora.targets,
    };
    const { bottleneck, num_virtual_tokens, encoder_hidden_size } = c;
    const sizes = Object.entries({ bottleneck, num_virtual_tokens, encoder_hidden_size });
    this.spec = {
      ...Object.fromEntries(sizes.filter(([, size]) => size !== undefined)),
      config: c.config,
      task: { objective: c.objective, num_labels: c.num_labels, pooling: "last", head_bias: true },
      mode: c.mode,
      lora,
      train_head: c.lora?.train_head_base ?? true,
    };
    const { betas, eps, weight_decay } = c.optim;
    this.optimizer = { betas, eps, weight_decay, clip: 0 };
  }

  async run(backend: Backend): Promise<GoldenResult> {
    const prefix = this.c.curve ? "data" : "input";
    const [sequences, length] = this.file.info(`${prefix}.ids`).shape as [number, number];
    const engine = await Engine.create(backend, {
      spec: this.spec,
      capacity: { tokens: sequences * length, sequences },
      optimizer: this.optimizer,
      keepActivations: this.c.activations,
    });
    try {
      for (const name of engine.plan.parameters.all.keys())
        engine.writeParameter(name, await this.file.readF32(`param.${name}`));
      await (this.c.curve ? this.curve(engine) : this.single(engine));
    } finally {
      engine.destroy();
    }
    return { case: this.c.name, comparisons: this.comparisons, actual: this.actual };
  }

  /** Rows of a padded table as a packed batch. Padding is treated as text, as in the reference. */
  private async batch(prefix: string, targets: string, rows?: number[]): Promise<Batch> {
    const [all, length] = this.file.info(`${prefix}.ids`).shape as [number, number];
    const ids = await this.file.readI32(`${prefix}.ids`);
    const lengths = await this.file.readI32(`${prefix}.lengths`);
    const labels = await this.file.readI32(`${prefix}.${targets}`);
    const chosen = rows ?? Array.from({ length: all }, (_, i) => i);
    const perRow = labels.length / all;
    return {
      ids: Uint32Array.from(chosen.flatMap((row) => [...ids.subarray(row * length, (row + 1) * length)])),
      starts: Uint32Array.from({ length: chosen.length + 1 }, (_, b) => b * length),
      rows: Uint32Array.from(
        chosen,
        (row, b) => b * length + (this.c.position === "last" ? length : lengths[row]!) - 1,
      ),
      targets: Int32Array.from(chosen.flatMap((row) => [...labels.subarray(row * perRow, (row + 1) * perRow)])),
    };
  }

  private async single(engine: Engine): Promise<void> {
    const batch = await this.batch("input", "targets");
    const { loss } = await engine.result(engine.gradients(batch));
    await this.close("expect.logits", "logits", await this.logits(engine, batch), TOLERANCE.logits);
    await this.absolute("expect.loss", "loss", [loss], TOLERANCE.loss);
    for (const [name, tensor] of engine.plan.activations)
      await this.close(`act.${name}`, "act", await engine.session.read(tensor), TOLERANCE.act);
    const gradients = new Map<string, Float32Array>();
    for (const name of engine.trainableNames) {
      const gradient = await engine.readGradient(name);
      gradients.set(name, gradient);
      await this.gradient(name, gradient);
    }
    const losses: number[] = [];
    for (let step = 1; step <= 3; step++) {
      const [slot] = engine.step([batch], this.c.optim.lr);
      losses.push((await engine.result(slot!)).loss);
      if (step !== 2)
        for (const name of engine.trainableNames)
          await this.update(
            `step${step}.${name}`,
            name,
            await engine.readParameter(name),
            TOLERANCE[`step${step as 1 | 3}`],
          );
    }
    await this.absolute("expect.losses", "losses", losses, TOLERANCE.loss);
    const after = await engine.result(engine.forward(batch));
    await this.absolute("expect.loss_after", "loss_after", [after.loss], TOLERANCE.loss);
  }

  /** The logits of the batch's rows, without those of a prompt's virtual tokens. */
  private async logits(engine: Engine, { targets, starts }: Batch): Promise<Float32Array> {
    const { mode, task, config, num_virtual_tokens = 0 } = this.spec;
    const n = mode === "prompt" && task.objective === "lm" ? num_virtual_tokens : 0;
    const all = await engine.logits(targets.length + n * (starts.length - 1));
    const V = task.objective === "lm" ? config.vocab_size : task.num_labels;
    if (n === 0) return all;
    const parts = Array.from(starts.subarray(0, -1), (start, b) =>
      all.subarray((start + n * (b + 1)) * V, (starts[b + 1]! + n * (b + 1)) * V),
    );
    return Float32Array.from(parts.flatMap((part) => [...part]));
  }

  private async curve(engine: Engine): Promise<void> {
    const [steps, size] = this.file.info("data.order").shape as [number, number];
    const order = await this.file.readI32("data.order");
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      const batch = await this.batch("data", "labels", [...order.subarray(step * size, (step + 1) * size)]);
      const [slot] = engine.step([batch], this.c.optim.lr);
      losses.push((await engine.result(slot!)).loss);
    }
    await this.absolute("expect.losses", "losses", losses, TOLERANCE.curveLoss);
    const everything = await this.batch("data", "labels");
    engine.forward(everything);
    await this.close(
      "expect.final_logits",
      "final_logits",
      await engine.logits(everything.targets.length),
      TOLERANCE.curve,
    );
    for (const name of engine.trainableNames)
      await this.update(`final.${name}`, name, await engine.readParameter(name), TOLERANCE.curve);
  }

  private async close(stored: string, name: string, got: Float32Array, tolerance: number): Promise<void> {
    const key = stored.replace(/^expect\./, "");
    this.actual.set(key, { shape: [...this.file.info(stored).shape], data: got });
    const error = relativeError(got, await this.file.readF32(stored));
    this.comparisons.push({ name: key, kind: name, measure: "relative L2", error, tolerance });
  }

  private async absolute(stored: string, name: string, got: number[], tolerance: number): Promise<void> {
    const want = await this.file.readF32(stored);
    this.actual.set(name, { shape: [got.length], data: Float32Array.from(got) });
    let error = got.length === want.length ? 0 : Number.NaN;
    for (let i = 0; i < want.length; i++) error = larger(error, Math.abs(got[i]! - want[i]!));
    this.comparisons.push({ name, kind: "loss", measure: "absolute", error, tolerance });
  }

  private async gradient(name: string, got: Float32Array): Promise<void> {
    const want = await this.file.readF32(`grad.${name}`);
    this.actual.set(`grad.${name}`, { shape: [...this.file.info(`grad.${name}`).shape], data: got });
    const entry = { name: `grad.${name}`, kind: "grad" } as const;
    if (want.some((value) => value !== 0))
      this.comparisons.push({
        ...entry,
        measure: "relative L2",
        error: relativeError(got, want),
        tolerance: TOLERANCE.grad,
      });
    else
      this.comparisons.push({
        ...entry,
        measure: "absolute",
        error: got.reduce((worst, value) => larger(worst, Math.abs(value)), 0),
        tolerance: ZERO_GRADIENT,
      });
  }

  /** Compares the total update of a parameter; for single steps, only its steady elements. */
  private async update(stored: string, name: string, got: Float32Array, tolerance: number): Promise<void> {
    const want = await this.file.readF32(stored);
    const start = await this.file.readF32(`param.${name}`);
    this.actual.set(stored, { shape: [...this.file.info(stored).shape], data: got });
    const steady = stored.startsWith("final.")
      ? () => true
      : steadyElements(name, await this.file.readF32(`grad.${name}`), this.c.config.n_embd);
    let difference = got.length === want.length ? 0 : Number.NaN;
    let norm = 0;
    for (let i = 0; i < want.length; i++) {
      if (!steady(i)) continue;
      difference += (got[i]! - want[i]!) ** 2;
      norm += (want[i]! - start[i]!) ** 2;
    }
    const error = difference === 0 ? 0 : Math.sqrt(difference / norm);
    const kind = stored.split(".")[0]!;
    this.comparisons.push({ name: stored, kind, measure: "relative L2 of the update", error, tolerance });
  }
}

/**
 * The elements of an updated tensor that can be compared. Adam normalizes each gradient element by its magnitude, so that
 * rounding errors dominate the update of elements with a gradient far below the tensor's RMS. The exact gradient of the key
 * bias is zero.
 */
function steadyElements(name: string, gradient: Float32Array, width: number): (i: number) => boolean {
  const rms = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / gradient.length);
  const keyBias = name.endsWith("attn.c_attn.bias");
  return (i) =>
    (gradient[i] === 0 || Math.abs(gradient[i]!) >= 0.01 * rms) && !(keyBias && i >= width && i < 2 * width);
}

/** ||got - want|| / ||want||; 0 if they are equal, NaN if lengths differ or a value is NaN. */
function relativeError(got: Float32Array, want: Float32Array): number {
  if (got.length !== want.length) return Number.NaN;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i]! - want[i]!) ** 2;
    norm += want[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

/** The larger number; NaN if either is NaN. */
function larger(a: number, b: number): number {
  return b > a || Number.isNaN(b) ? b : a;
}

/** Whether a value is within its tolerance; false for NaN. */
export function passes({ error, tolerance }: Comparison): boolean {
  return error <= tolerance;
}
