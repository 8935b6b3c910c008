/**
 * The head of a model, its logits in pieces of classes, or of the vocabulary, and what it learns by. Letters: C n_embd,
 * V vocabulary.
 */
import type { Place } from "../core/names.ts";
import { type Tensor, type TensorPiece, VIEW_ALIGN } from "../core/tensor.ts";
import { loraDown } from "../ops/adapters.ts";
import type { Dispatch, Scalar } from "../ops/kernel.ts";
import { matmul } from "../ops/matmul.ts";
import { scorelossBackward, scorelossForward } from "../ops/scoreloss.ts";
import { TASKS, type TaskConfig } from "../tasks/index.ts";
import type { Adapters } from "./adapters.ts";
import { type Rows, rowTensor } from "./batch.ts";
import type { Value } from "./graph.ts";
import type { Lowering } from "./lower.ts";
import { findAdapters, only, type Parameter } from "./parameters.ts";

export const HEAD: Place = { block: null, layer: "head" };

/** A piece of the classes, from `first` on: its rows of the head, and of their gradient. */
export interface HeadPiece {
  first: number;
  classes: number;
  weight: Tensor;
  grad: Tensor | null;
}

export class Head {
  readonly rows: Rows;
  /** [rows, C]. */
  readonly inp: Tensor;
  readonly adapters: Adapters[];

  /** Emits what the adapters need. */
  constructor(
    readonly f: Lowering,
    readonly value: Value,
  ) {
    const { tensor, rows } = f.at(value);
    [this.inp, this.rows] = [tensor, rows];
    this.adapters = f.room.make(HEAD, rows);
    const seen = this.dropped(f.list);
    for (const { group, down } of this.adapters) f.emit(loraDown(down, seen, group, rows.count));
  }

  /** The adapters' input: all of it, or the part that dropout leaves, which the list computes. */
  dropped(list: Dispatch[]): Tensor {
    if (!this.f.common.dropout || this.adapters.length === 0) return this.inp;
    const out = rowTensor("head.dropped", this.rows, this.inp.shape.slice(1));
    list.push(this.f.dropped(HEAD, out, this.inp, this.rows));
    return out;
  }

  /** The head in pieces whose logits [rows, classes] have at most `bytes`. */
  pieces(bytes: number): HeadPiece[] {
    const { all } = this.f.common.parameters;
    // Of a language model the token table, unless it has a head of its own.
    const { pieces, grad } = (all.get("head.weight") ?? all.get("lm_head.weight") ?? all.get("wte.weight"))!;
    const most = Math.floor(bytes / 4 / this.rows.capacity / VIEW_ALIGN) * VIEW_ALIGN;
    return pieces.flatMap(({ tensor, first }, i) => {
      const [total, C] = tensor.shape as [number, number];
      const count = Math.min(total, Math.max(VIEW_ALIGN, most));
      return Array.from({ length: Math.ceil(total / count) }, (_, j) => {
        const [offset, classes] = [j * count, Math.min(count, total - j * count)];
        const part = (whole: Tensor) => whole.view(`${whole.name}+${offset}`, [classes, C], offset * C);
        return { first: first + offset, classes, weight: part(tensor), grad: grad && part(grad[i]!.tensor) };
      });
    });
  }

  get bias(): Parameter | undefined {
    return this.f.common.parameters.all.get("head.bias");
  }

  /** The logits of a piece, in `out` [rows, width] from `column` on; by default `out` has only these columns. */
  logits(piece: HeadPiece, out: Tensor, at = { width: piece.classes, column: 0 }): Dispatch[] {
    const { rows, inp, bias } = this;
    const place = { out, ldc: at.width, outOffset: at.column, m: rows.count, n: piece.classes, transB: true };
    return [
      matmul({ ...place, a: inp, b: piece.weight, k: inp.shape[1]!, ...(bias ? { bias: only(bias) } : {}) }),
      ...this.adapters.map(({ group, down: a }) => matmul({ ...place, a, b: this.up(piece), k: group.r, beta: 1 })),
    ];
  }

  adapter(name: "A" | "B"): Parameter {
    return findAdapters(this.f.common.parameters, HEAD)[0]![name];
  }

  /** The rows of the B of the head's adapter for a piece. */
  up(piece: HeadPiece): Tensor {
    return rowsFrom(this.adapter("B").pieces, piece);
  }
}

/** The rows of an adapter's B, or of its gradient, for a piece of the head. */
export function rowsFrom(pieces: TensorPiece[], { first, classes }: HeadPiece): Tensor {
  const whole = only(pieces);
  const r = whole.shape[1]!;
  return whole.view(`${whole.name}+${first}`, [classes, r], first * r);
}

/** The loss's inputs from a batch. */
interface Inputs {
  values: Tensor;
  weights: Tensor;
}

/** The dispatches of a loss, over the logits of the outputs from `first` on. */
export interface ValueLoss {
  /** Updates the state of the rows, of which `crossentropyLoss` makes the loss of the batch. */
  forward(state: Tensor, logits: Tensor, batch: Inputs, rows: Scalar, first: number): Dispatch;
  backward(dlogits: Tensor, logits: Tensor, batch: Inputs, rows: Scalar, first: number): Dispatch;
}

/** As transformers has it for the task's `problem_type`; undefined where rows have a class: cross-entropy. */
export function makeValueLoss(task: TaskConfig): ValueLoss | undefined {
  const { loss } = TASKS[task.objective];
  if (loss === "cross-entropy") return undefined;
  return {
    forward: (state, logits, { values }, rows, first) => scorelossForward(state, logits, values, rows, first, loss),
    backward: (dlogits, logits, { values, weights }, rows, first) =>
      scorelossBackward(dlogits, logits, { values, weights }, rows, first, loss),
  };
}
