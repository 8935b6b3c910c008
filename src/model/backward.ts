/**
 * The backward list of a plan, from the loss down: sections in reverse order, each by the rules of its layers. Only
 * what trains loads it.
 */

import type { Tensor } from "../core/tensor.ts";
import { crossentropyBackward } from "../ops/crossentropy.ts";
import { type Access, boundTensors, type Dispatch } from "../ops/kernel.ts";
import { matmul } from "../ops/matmul.ts";
import { rowTensor } from "./batch.ts";
import type { Layer, Section, Value } from "./graph.ts";
import { HEAD, type Head, type HeadPiece, rowsFrom } from "./head.ts";
import { Lowering } from "./lower.ts";
import type { Forward, Loss } from "./model.ts";
import { findAdapters, only, type Parameters } from "./parameters.ts";
import { biasGradient, type Context, Rules } from "./rules.ts";

export class Backward {
  readonly list: Dispatch[] = [];
  /** Blocks whose activations are recomputed. */
  recomputed = 0;
  private readonly context: Context;

  constructor(
    private readonly forward: Forward,
    loss: Loss,
  ) {
    const { batch, f, options, prefix, sections } = forward;
    const trained = valuesOfTrained(sections, f.common.parameters);
    this.context = { list: this.list, batch, needs: (value) => trained.has(value), prefix };
    let dx: Tensor | undefined = this.loss(loss);
    const blocks = sections.filter(({ layers }) => layers.some(({ kind }) => kind === "attention"));
    // The last block's backward pass follows its forward pass at once.
    const recomputed = new Set(options.recompute ? blocks.slice(0, -1) : []);
    for (const section of sections.toReversed())
      dx &&= recomputed.has(section)
        ? this.recomputedSection(section, dx)
        : new Rules(f, section, this.context).run(dx);
  }

  /** Gradients of the head; returns that of its input, if one is needed. */
  private loss({ head, state, pieces }: Loss): Tensor | undefined {
    const { batch, options } = this.forward;
    const { valueLoss } = options;
    const { rows, inp } = head;
    const dout = this.context.needs(head.value) ? rowTensor("dhead", rows, inp.shape.slice(1)) : undefined;
    for (const piece of pieces) {
      let { logits } = piece;
      if (pieces.length > 1) {
        // Recomputed into a new tensor: the forward pass's logits would otherwise stay in memory, all pieces at once.
        logits = rowTensor("logits", rows, [piece.classes]);
        this.list.push(...head.logits(piece, logits));
      }
      const dlogits = rowTensor("dlogits", rows, [piece.classes]);
      this.list.push(
        valueLoss
          ? valueLoss.backward(dlogits, logits, batch, rows.count, piece.first)
          : crossentropyBackward(dlogits, logits, state, batch, rows.count, piece.first),
      );
      this.headPiece(head, piece, dlogits, dout);
    }
    this.headAdapters(head, dout);
    return dout;
  }

  /** The gradients of the head from those of a piece of its logits; the gradient of its input is added to `dout`. */
  private headPiece(head: Head, piece: HeadPiece, a: Tensor, dout: Tensor | undefined): void {
    const { classes: n, weight, grad } = piece;
    const { rows, inp, adapters, bias } = head;
    const [k, C] = [rows.count, inp.shape[1]!];
    // The first piece writes, the others add.
    const beta = piece.first === 0 ? 0 : 1;
    if (grad) this.list.push(matmul({ out: grad, a, b: inp, transA: true, m: n, n: C, k, lda: n, beta: 1 }));
    this.list.push(...biasGradient(bias, a, rows));
    if (dout) this.list.push(matmul({ out: dout, a, b: weight, m: k, n: C, k: n, beta }));
    for (const { grad, group, down, ddown } of adapters) {
      if (!grad) continue;
      const { r, scale: alpha } = group;
      const dB = rowsFrom(head.adapter("B").grad!, piece);
      this.list.push(matmul({ out: dB, a, b: down, transA: true, m: n, n: r, k, lda: n, beta: 1 }));
      this.list.push(matmul({ out: ddown, a, b: head.up(piece), m: k, n: r, k: n, alpha, beta }));
    }
  }

  /** The gradients of A of the head's adapters, after all pieces; the gradient of their input is added to `dout`. */
  private headAdapters(head: Head, dout: Tensor | undefined): void {
    const { rows, inp, adapters } = head;
    const { dropout } = this.forward.options;
    const [k, C] = [rows.count, inp.shape[1]!];
    const seen = head.dropped(this.list);
    for (const { grad, group, ddown: a } of adapters) {
      if (!grad) continue;
      const { r } = group;
      const A = head.adapter("A");
      this.list.push(matmul({ out: only(A.grad!), a, b: seen, transA: true, m: r, n: C, k, lda: r, beta: 1 }));
      if (dout && !dropout) this.list.push(matmul({ out: dout, a, b: only(A), m: k, n: C, k: r, beta: 1 }));
    }
    if (!dout || !dropout) return;
    const { draws } = this.forward.batch;
    for (const { group, ddown } of adapters)
      this.list.push(dropout.backward(HEAD, { dx: dout, ddown, group }, draws!, rows));
  }

  /**
   * The gradient of a section's input after computing the section again into new tensors, so that the first ones are
   * free once they have been read. What the backward pass does not read, such as the section's output, is left out.
   */
  private recomputedSection(section: Section, dx: Tensor): Tensor | undefined {
    const { list } = this;
    const { f, source } = this.forward;
    const first = list.length;
    const again = new Lowering(f.common, source, list);
    again.values.set(section.input!, f.at(section.input!));
    again.lower(section.layers);
    const end = list.length;
    const below = new Rules(again, section, this.context).run(dx);
    const rest = list.splice(first);
    const kept = needed(rest.slice(0, end - first), rest.slice(end - first));
    list.push(...kept, ...rest.slice(end - first));
    if (kept.length > 0) this.recomputed++;
    return below;
  }
}

/** The values in which something that is trained has a part. */
function valuesOfTrained(sections: readonly Section[], parameters: Parameters): Set<Value> {
  const values = new Set<Value>();
  const learns = (layer: Layer) => {
    const names = learnedNames(layer);
    const adapters = "place" in layer && layer.place ? findAdapters(parameters, layer.place) : [];
    return names.some((name) => parameters.all.get(name)?.grad) || adapters.some(({ A }) => A.grad);
  };
  for (const layer of sections.flatMap(({ layers }) => layers))
    if (layer.inputs.some((value) => values.has(value)) || learns(layer)) values.add(layer.out);
  return values;
}

/** The parameters of a layer that may be trained, besides adapters. */
function learnedNames(layer: Layer): string[] {
  switch (layer.kind) {
    case "embed":
      return ["wte.weight", "wpe.weight", "prompt.weight", "lora.wte.A"];
    case "norm":
    case "linear":
      return [`${layer.name}.weight`, `${layer.name}.bias`];
    case "attention":
      return ["prefix.weight"];
    default:
      return [];
  }
}

/** The dispatches of a list, in their order, whose results are read later in the list or in the one behind it. */
function needed(list: readonly Dispatch[], behind: readonly Dispatch[]): Dispatch[] {
  const bound = (dispatch: Dispatch, uses: readonly Access[]) =>
    boundTensors(dispatch).flatMap(({ tensor, access }) => (uses.includes(access) ? [tensor.root] : []));
  const reads = (dispatch: Dispatch) => bound(dispatch, ["read", "update"]);
  const read = new Set(behind.flatMap(reads));
  const reversed = list.toReversed().filter((dispatch) => {
    const isNeeded = bound(dispatch, ["write", "update"]).some((root) => read.has(root));
    if (isNeeded) for (const root of reads(dispatch)) read.add(root);
    return isNeeded;
  });
  return reversed.reverse();
}
