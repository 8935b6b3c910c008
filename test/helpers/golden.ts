/**
 * Golden fixtures: runs the case described in a file and compares every tensor with PyTorch's.
 * Format and tolerances: test/golden/README.md.
 */
import type { Backend } from "../../src/backend/backend.ts";
import type { Target } from "../../src/core/names.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import type { MethodConfig, Mode } from "../../src/methods/index.ts";
import type { LoraConfig, Scaling } from "../../src/methods/lora.ts";
import { AdamW } from "../../src/model/adamw.ts";
import { type Batch, drawsFrom, promptLength } from "../../src/model/batch.ts";
import { makeDropout } from "../../src/model/dropout.ts";
import { makeValueLoss } from "../../src/model/head.ts";
import type { Parameter } from "../../src/model/parameters.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { countOutputs, hasValues, type Objective, readsTokens } from "../../src/tasks/index.ts";

/** The entries of a fixture's `case` metadata that are used. */
interface Case {
  name: string;
  objective: Objective;
  mode: Mode;
  position: "last" | "last_token" | "mean";
  num_labels: number;
  config: ModelSpec["config"];
  lora: {
    targets: Target[];
    r: number;
    alpha: number;
    scaling: Scaling;
    train_head_base: boolean;
    dropout?: { p: number; seed: number };
    dora?: true;
  } | null;
  method?: MethodConfig;
  optim: { lr: number; betas: [number, number]; eps: number; weight_decay: number; lr_ratio?: number };
  activations: boolean;
  curve?: unknown;
}

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

export async function runGolden(file: SafetensorsFile, backend: Backend): Promise<GoldenResult> {
  const { case: text } = file.metadata;
  if (text === undefined) throw new Error("not a golden fixture: its metadata have no entry `case`");
  return new Golden(file, JSON.parse(text)).run(backend);
}

class Golden {
  private readonly comparisons: Comparison[] = [];
  private readonly spec: ModelSpec;
  private readonly optimizer: AdamW;

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
      ...(c.lora.dropout && { lora_dropout: c.lora.dropout.p }),
      ...(c.lora.dora && { use_dora: true }),
    };
    this.spec = {
      config: c.config,
      task: {
        objective: c.objective,
        num_labels: c.num_labels,
        pooling: c.position === "mean" ? "mean" : "last",
        head_bias: true,
      },
      mode: c.mode,
      lora,
      train_head: c.lora?.train_head_base ?? true,
      ...c.method,
      ...(c.optim.lr_ratio && { lr_ratio: c.optim.lr_ratio }),
    };
    const { betas, eps, weight_decay } = c.optim;
    this.optimizer = new AdamW({ betas, eps, weight_decay, clip: 0 });
  }

  async run(backend: Backend): Promise<GoldenResult> {
    const table = this.c.curve ? "data" : "input";
    const [sequences, length] = this.file.info(`${table}.ids`).shape as [number, number];
    const engine = await Engine.create(backend, {
      spec: this.spec,
      capacity: { tokens: sequences * length, sequences },
      optimizer: this.optimizer,
      valueLoss: makeValueLoss(this.spec.task),
      dropout: makeDropout(this.spec, this.c.lora?.dropout?.seed ?? 0),
      keepActivations: this.c.activations,
    });
    try {
      for (const name of engine.plan.parameters.all.keys())
        engine.writeParameter(name, await this.file.readF32(`param.${name}`));
      await (this.c.curve ? this.curve(engine) : this.single(engine));
    } finally {
      engine.destroy();
    }
    return { case: this.c.name, comparisons: this.comparisons };
  }

  /** Rows of a padded table as a packed batch. Padding counts as text for logits at the last position. */
  private async batch(table: string, targets: string, rows?: number[]): Promise<Batch> {
    const [all, length] = this.file.info(`${table}.ids`).shape as [number, number];
    const ids = await this.file.readI32(`${table}.ids`);
    const lengths = await this.file.readI32(`${table}.lengths`);
    const chosen = rows ?? Array.from({ length: all }, (_, i) => i);
    const ofOutputs = hasValues(this.c) ? await this.file.readF32(`${table}.${targets}`) : undefined;
    const labels = ofOutputs ? new Int32Array(all) : await this.file.readI32(`${table}.${targets}`);
    const ofTokens = readsTokens(this.c);
    const sizes = chosen.map((row) => (!ofTokens && this.c.position === "last" ? length : lengths[row]!));
    const tokens = (table: Int32Array) =>
      chosen.flatMap((row, b) => [...table.subarray(row * length, row * length + sizes[b]!)]);
    const starts = new Uint32Array(sizes.length + 1);
    sizes.forEach((size, b) => {
      starts[b + 1] = starts[b]! + size;
    });
    return {
      ids: Uint32Array.from(tokens(ids)),
      starts,
      rows: starts.subarray(1).map((end) => end - 1),
      targets: Int32Array.from(ofTokens ? tokens(labels) : chosen.map((row) => labels[row]!)),
      values: ofOutputs && select(ofOutputs, this.c.num_labels, chosen),
      draws: drawsFrom(1, sizes.length),
    };
  }

  /** Compares the logits of all rows; where tokens have targets, of the text without padding and virtual tokens. */
  private async logits(engine: Engine, { starts, targets }: Batch): Promise<void> {
    const compare = (logits: Float32Array, rows?: number[]) =>
      this.close("expect.logits", "logits", logits, TOLERANCE.logits, rows);
    if (!readsTokens(this.c)) return compare(await engine.logits(targets.length));
    const virtual = promptLength(this.spec);
    const computed = listRows(starts, (b) => starts[b]! + virtual * (b + 1));
    const all = await engine.logits(computed.at(-1)! + 1);
    await compare(select(all, countOutputs(this.c, this.c.config), computed), this.storedRows(starts));
  }

  /** The places of a batch's rows in a stored table [B, T]. */
  private storedRows(starts: Uint32Array): number[] {
    const length = this.file.info("input.ids").shape[1]!;
    return listRows(starts, (b) => b * length);
  }

  private async single(engine: Engine): Promise<void> {
    const batch = await this.batch("input", "targets");
    const { loss } = await engine.result(engine.gradients(batch));
    await this.logits(engine, batch);
    await this.absolute("expect.loss", "loss", [loss], TOLERANCE.loss);
    const rows = this.storedRows(batch.starts);
    for (const [name, tensor] of engine.plan.activations) {
      const values = await engine.session.read(tensor);
      if (name === "pooled") await this.close("act.pooled", "act", values, TOLERANCE.act);
      else
        await this.close(
          `act.${name}`,
          "act",
          values.subarray(0, rows.length * this.c.config.n_embd),
          TOLERANCE.act,
          rows,
        );
    }
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
            engine.parameter(name),
            await engine.readParameter(name),
            TOLERANCE[`step${step as 1 | 3}`],
          );
    }
    await this.absolute("expect.losses", "losses", losses, TOLERANCE.loss);
    const after = await engine.result(engine.forward({ ...batch, draws: undefined }));
    await this.absolute("expect.loss_after", "loss_after", [after.loss], TOLERANCE.loss);
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
      await this.update(`final.${name}`, engine.parameter(name), await engine.readParameter(name), TOLERANCE.curve);
  }

  /** `rows`: those of the stored tensor to compare with; absent: all. */
  private async close(
    stored: string,
    name: string,
    got: Float32Array,
    tolerance: number,
    rows?: number[],
  ): Promise<void> {
    const key = stored.replace(/^expect\./, "");
    const want = await this.file.readF32(stored);
    const columns = this.file.info(stored).shape.at(-1)!;
    const error = relativeError(got, rows ? select(want, columns, rows) : want);
    this.comparisons.push({ name: key, kind: name, measure: "relative L2", error, tolerance });
  }

  private async absolute(stored: string, name: string, got: number[], tolerance: number): Promise<void> {
    const want = await this.file.readF32(stored);
    let error = got.length === want.length ? 0 : Number.NaN;
    for (let i = 0; i < want.length; i++) error = larger(error, Math.abs(got[i]! - want[i]!));
    this.comparisons.push({ name, kind: "loss", measure: "absolute", error, tolerance });
  }

  private async gradient(name: string, got: Float32Array): Promise<void> {
    const want = await this.file.readF32(`grad.${name}`);
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

  /** Compares the total update of a parameter, over its steady elements. */
  private async update(stored: string, parameter: Parameter, got: Float32Array, tolerance: number): Promise<void> {
    const { name } = parameter;
    const want = await this.file.readF32(stored);
    const start = await this.file.readF32(`param.${name}`);
    const gradient = stored.startsWith("final.") ? null : await this.file.readF32(`grad.${name}`);
    const steady = steadyElements(parameter, gradient, this.c.config.n_embd);
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
 * The elements of an updated tensor that can be compared. Adam normalizes each gradient element by its magnitude, so
 * that rounding errors dominate the update of elements with a gradient far below the tensor's RMS; not so over a whole
 * curve, which has no `gradient`. The exact gradient of the key bias is zero.
 */
function steadyElements(
  { layer, part }: Parameter,
  gradient: Float32Array | null,
  width: number,
): (i: number) => boolean {
  const rms = gradient && Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / gradient.length);
  const isBias = layer === "attn.c_attn" && part === "bias";
  const isKeyBias = (i: number) => isBias && i >= width && i < 2 * width;
  return (i) => (!gradient || gradient[i] === 0 || Math.abs(gradient[i]!) >= 0.01 * rms!) && !isKeyBias(i);
}

function listRows(starts: Uint32Array, first: (b: number) => number): number[] {
  return Array.from(starts.subarray(1)).flatMap((end, b) =>
    Array.from({ length: end - starts[b]! }, (_, t) => first(b) + t),
  );
}

function select(matrix: Float32Array, columns: number, rows: number[]): Float32Array {
  const selected = new Float32Array(rows.length * columns);
  for (const [i, row] of rows.entries()) selected.set(matrix.subarray(row * columns, (row + 1) * columns), i * columns);
  return selected;
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
