/**
 * The backward pass of layers, by a rule for each kind: it is given the gradient of the layer's output and makes that
 * of its inputs; where an input has a gradient already, the rule adds to it. Only what trains loads this.
 *
 * Letters: C n_embd, R rank.
 */
import { layerName, magnitudeName } from "../core/names.ts";
import type { Tensor } from "../core/tensor.ts";
import { attentionBackward } from "../ops/attention.ts";
import { doraBackward } from "../ops/dora.ts";
import { embeddingBackward, embeddingPositionBackward } from "../ops/embedding.ts";
import { gatherBackward } from "../ops/gather.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { linearBackward } from "../ops/linear.ts";
import { fitTogether, type LoraJob, loraBackward, loraUpBackward } from "../ops/lora.ts";
import { matmul, matmulBiasBackward } from "../ops/matmul.ts";
import { normBackward, normParametersBackward } from "../ops/norm.ts";
import { ropeBackward } from "../ops/rope.ts";
import { swigluBackward } from "../ops/swiglu.ts";
import { type Adapters, adapterPart } from "./adapters.ts";
import { type BatchInputs, type Rows, rowTensor } from "./batch.ts";
import type { Cheap, Layer, Section, Value } from "./graph.ts";
import { attentionHeads, type Lowering, makeTensor, promptRows } from "./lower.ts";
import { only, type Parameter } from "./parameters.ts";
import type { Prefix } from "./prefix.ts";
import { rotate } from "./rope-table.ts";

/** The context that the backward passes of all sections share. */
export interface Context {
  list: Dispatch[];
  batch: BatchInputs;
  /** Whether something that is trained has a part in a value. */
  needs: (value: Value) => boolean;
  prefix: Prefix | null;
}

/** A matrix whose gradients are still to be computed. */
interface Waiting {
  layer: Layer<"linear">;
  dy: Tensor;
}

/** The backward pass of a section. */
export class Rules {
  private readonly gradients = new Map<Value, Tensor>();
  /** Outputs of layers that have been computed again. */
  private readonly again = new Map<Value, Tensor>();
  private readonly makers: ReadonlyMap<Value, Layer>;
  private readonly done = new Set<Layer>();
  private waiting: Waiting[] = [];

  /** `f`: the forward pass that saved what is read here. */
  constructor(
    private readonly f: Lowering,
    private readonly section: Section,
    private readonly context: Context,
  ) {
    this.makers = new Map(section.layers.map((layer) => [layer.out, layer]));
  }

  /** The gradient of the section's input from that of its output; undefined if nothing before it is trained. */
  run(dy: Tensor): Tensor | undefined {
    const { input, layers, output } = this.section;
    this.gradients.set(output, dy);
    for (const layer of layers.toReversed()) this.layer(layer);
    this.computeWaiting();
    return input ? this.gradients.get(input) : undefined;
  }

  /** That of a value in between. */
  gradient(value: Value): Tensor | undefined {
    return this.gradients.get(value);
  }

  private emit(...dispatches: Dispatch[]): void {
    this.context.list.push(...dispatches);
  }

  /** The backward pass of a layer, if its output has a gradient. */
  private layer(layer: Layer): void {
    const dy = this.gradients.get(layer.out);
    if (!dy || this.done.has(layer)) return;
    this.done.add(layer);
    switch (layer.kind) {
      case "embed":
        this.embed(layer, dy);
        break;
      case "norm":
        this.norm(layer, dy);
        break;
      case "linear":
        this.linear(layer, dy);
        break;
      case "scale":
        this.scale(layer, dy);
        break;
      case "rotate":
        this.emit(rotate(ropeBackward, this.f.config, dy, this.f.source));
        this.giveFirst(layer.inputs[0]!, () => dy);
        break;
      case "attention":
        this.attention(layer, dy);
        break;
      case "gate":
        this.gate(layer, dy);
        break;
      case "add":
        this.add(layer, dy);
        break;
      case "select":
        this.giveFirst(layer.inputs[0]!, () => {
          const { rows } = this.f.at(layer.inputs[0]!);
          const dinp = rowTensor(`${dy.name}.all`, rows, dy.shape.slice(1));
          this.emit(gatherBackward(dinp, dy, this.context.batch.selected));
          return dinp;
        });
        break;
      default:
        throw new Error(`${layer.out.name}: its gradient is part of a matrix's`);
    }
    if (this.isReady()) this.computeWaiting();
  }

  /** Gives a value a gradient, if it needs one; `make` adds it to the one that is there. */
  private give(value: Value, make: (add: Tensor | undefined) => Tensor): void {
    if (this.context.needs(value)) this.gradients.set(value, make(this.gradients.get(value)));
  }

  /** The same by a rule that cannot add: it must be the first. */
  private giveFirst(value: Value, make: () => Tensor): void {
    this.give(value, (add) => {
      if (add) throw new Error(`${value.name} has a gradient that this rule cannot add to`);
      return make();
    });
  }

  /** A layer's output: that of the forward pass, or computed again. */
  private read(value: Value): Tensor {
    const maker = this.makers.get(value);
    if (!maker || !isCheap(maker)) return this.f.tensor(value);
    const known = this.again.get(value);
    if (known) return known;
    const out = this.makeAgain(maker);
    this.emit(this.f.compute(maker, out, this.read(maker.inputs[0]!)));
    return out;
  }

  /** A tensor for the output of a layer that is computed again. */
  private makeAgain(layer: Cheap): Tensor {
    const name = layer.kind === "norm" ? layer.name : layer.out.name;
    const out = rowTensor(name, this.f.at(layer.inputs[0]!).rows, [layer.out.columns]);
    this.again.set(layer.out, out);
    return out;
  }

  // ----------------------------------------------------------------------------------------------- matrices

  private linear(layer: Layer<"linear">, dy: Tensor): void {
    const { rows } = this.f.at(layer.inputs[0]!);
    for (const { group, ddown } of this.f.adapters.get(layer.name)!)
      this.emit(loraUpBackward(ddown, dy, group, rows.count));
    this.waiting.push({ layer, dy });
    if (this.isReady()) this.computeWaiting();
    // Behind an activation it is the gradient of that one's input.
    const maker = this.makers.get(layer.inputs[0]!);
    const activation = maker?.kind === "activate" ? maker : undefined;
    const [x] = (activation ?? layer).inputs as [Value];
    if (activation) this.giveFirst(x, () => this.inputGradient(layer, dy, activation));
    else this.give(x, (add) => this.inputGradient(layer, dy, undefined, add));
  }

  /**
   * dx = dy W^T + ddown A, plus what there is, or times the derivative of the activation, whose output is computed
   * again.
   */
  private inputGradient(
    { name, inputs: [x, seen], place }: Layer<"linear">,
    dy: Tensor,
    activation: Layer<"activate"> | undefined,
    add?: Tensor,
  ): Tensor {
    const { rows } = this.f.at(x!);
    const W = only(this.f.parameter(`${name}.weight`));
    const dx = rowTensor(`d${name}.input`, rows, [W.shape[0]!]);
    const adapters = this.f.adapters.get(name)!;
    const activated = activation && {
      by: activation.by,
      inp: this.f.tensor(activation.inputs[0]!),
      act: this.makeAgain(activation),
    };
    const product = { dx, dy, W, rows: rows.count };
    if (seen) {
      const { batch, dropout } = this.f.common;
      this.emit(linearBackward({ ...product, add }));
      // Behind an activation all adapters are one group.
      for (const { group, ddown } of adapters)
        this.emit(dropout!.backward(place!, { dx, ddown, group, activated }, batch!.draws!, rows));
      return dx;
    }
    const [first, ...others] = adapters;
    const part = first && { group: first.group, down: first.ddown };
    this.emit(linearBackward({ ...product, activated, add, adapters: part }));
    for (const other of others) this.emit(...addDown(dx, other, rows));
    return dx;
  }

  private scale(layer: Layer<"scale">, dy: Tensor): void {
    const [z] = layer.inputs as [Value];
    const { rows } = this.f.at(z);
    const dz = rowTensor(`${layerName(layer.place)}.dz`, rows, [z.columns]);
    const { grad } = this.f.parameter(magnitudeName(layer.place));
    this.emit(...doraBackward(dz, only(grad!), dy, this.f.scaling(layer), rows.count));
    this.biasBackward(this.affine(layerName(layer.place)).bias, dy, rows);
    this.gradients.set(z, dz);
  }

  /**
   * Whether the gradients of matrices can be computed: those of two take one dispatch, and their inputs may have to be
   * computed again, which the rule of the layer before does besides.
   */
  private isReady(): boolean {
    const isAtHand = (value: Value) => {
      const maker = this.makers.get(value);
      return !maker || !isCheap(maker) || this.again.has(value);
    };
    return this.waiting.length > 1 && this.waiting.every(({ layer }) => isAtHand(layer.inputs[0]!));
  }

  /** The gradients of matrices, their biases and their adapters. The adapters of two matrices take one dispatch. */
  private computeWaiting(): void {
    // Of each matrix those whose gradients are in the same buffer.
    const jobs: LoraJob[][] = [];
    for (const { layer, dy } of this.waiting) {
      const { weight, bias } = this.affine(layer.name);
      const { rows } = this.f.at(layer.inputs[0]!);
      const adapters = this.f.adapters.get(layer.name)!;
      if (!layer.isBare) this.biasBackward(bias, dy, rows);
      if (!weight.grad && adapters.every(({ grad }) => !grad)) continue;
      const x = this.read(layer.inputs[0]!);
      const [k, n] = weight.shape as [number, number];
      if (weight.grad)
        this.emit(
          matmul({ out: only(weight.grad), a: x, b: dy, transA: true, m: k, n, k: rows.count, lda: k, beta: 1 }),
        );
      const seen = layer.inputs[1] ? this.read(layer.inputs[1]) : x;
      const byBuffer = new Map<Tensor, LoraJob[]>();
      for (const { grad, ...rest } of adapters)
        if (grad) byBuffer.set(grad, [...(byBuffer.get(grad) ?? []), { ...rest, rows: rows.count, x: seen, dy, grad }]);
      jobs.push(...byBuffer.values());
    }
    this.waiting = [];
    for (let next = jobs.shift(); next; next = jobs.shift()) {
      const other = jobs[0] && fitTogether(next[0]!, jobs[0][0]!) ? jobs.shift()! : [];
      this.emit(loraBackward(next, other));
    }
  }

  private affine(name: string): { weight: Parameter; bias: Parameter | undefined } {
    return { weight: this.f.parameter(`${name}.weight`), bias: this.f.common.parameters.all.get(`${name}.bias`) };
  }

  private biasBackward(bias: Parameter | undefined, dy: Tensor, rows: Rows): void {
    this.emit(...biasGradient(bias, dy, rows));
  }

  // ------------------------------------------------------------------------------------------- other layers

  private norm(layer: Layer<"norm">, dy: Tensor): void {
    const { weight, bias } = this.affine(layer.name);
    const norm = this.f.normTensors(layer);
    const { rows } = this.f.at(layer.inputs[0]!);
    if (weight.grad && (!bias || bias.grad)) {
      this.emit(normParametersBackward(only(weight.grad), bias && only(bias.grad!), dy, norm, rows.count));
    } else this.biasBackward(bias, dy, rows);
    this.give(layer.inputs[0]!, (add) => {
      const dx = rowTensor(`d${layer.name}.input`, rows, [layer.out.columns]);
      this.emit(normBackward(dx, this.makeAgain(layer), dy, norm, rows.count, add));
      return dx;
    });
  }

  private attention(layer: Layer<"attention">, dy: Tensor): void {
    const [qkv] = layer.inputs as [Value];
    const { prefix } = this.context;
    const { source, config } = this.f;
    const { tensor, rows } = this.f.at(qkv);
    const dqkv = makeTensor({ ...qkv, name: `d${qkv.name}` }, rows);
    const delta = rowTensor(`h.${layer.block}.delta`, rows, [config.n_head]);
    const [att, lse] = [this.f.tensor(layer.out), this.f.saved.get(layer)!];
    const heads = attentionHeads(config, layer.block);
    this.emit(...attentionBackward(dqkv.root, delta, dy, att, lse, tensor.root, source.bounds, heads, prefix?.rows));
    if (prefix) this.emit(...prefix.backward(this.f, dqkv.root, layer.block));
    this.giveFirst(qkv, () => dqkv);
  }

  private gate(layer: Layer<"gate">, dy: Tensor): void {
    const [inp] = layer.inputs as [Value];
    const out = this.makeAgain(layer);
    this.giveFirst(inp, () => {
      const { rows } = this.f.at(inp);
      const dinp = rowTensor(`d${inp.name}`, rows, [inp.columns]);
      this.emit(swigluBackward(dinp, out, dy, this.f.tensor(inp), rows.count));
      return dinp;
    });
  }

  /** The residual stream comes first, as nothing adds two gradients but the rule that makes the second. */
  private add(layer: Layer<"add">, dy: Tensor): void {
    for (const value of layer.inputs) this.giveFirst(value, () => dy);
    const [before] = layer.inputs.map((value) => this.makers.get(value));
    const readers = this.section.layers.filter(({ inputs }) => inputs.includes(layer.inputs[0]!));
    if (before?.kind === "add" && readers.length === 1) this.layer(before);
  }

  private embed(layer: Layer<"embed">, dx: Tensor): void {
    const { f } = this;
    const { batch } = this.context;
    const { parameters, spec } = f.common;
    const [wte, wpe] = [f.parameter("wte.weight"), parameters.all.get("wpe.weight")];
    const { ids, byId, starts } = batch;
    const prompt = parameters.all.get("prompt.weight");
    const table = prompt?.grad ? promptRows(prompt.grad, spec) : wte.grad;
    if (table && byId) this.emit(...embeddingBackward(table, dx, ids, byId.sorted, byId.groups));
    const down = f.saved.get(layer);
    if (down) this.tokenAdapter(dx, down);
    if (wpe?.grad) this.emit(embeddingPositionBackward(only(wpe.grad), dx, starts));
  }

  /** The gradients of the token table's adapter from dx, that of the embedding. */
  private tokenAdapter(dx: Tensor, down: Tensor): void {
    const { A, B, r, scale: alpha } = this.f.tokenFactors()!;
    const { rows } = this.f.source;
    const { ids, byId } = this.context.batch;
    const ddown = rowTensor("wte.ddown", rows, [r]);
    const [m, n] = [rows.count, dx.shape[1]!];
    this.emit(matmul({ out: only(B.grad!), a: dx, b: down, transA: true, m: n, n: r, k: m, lda: n, alpha, beta: 1 }));
    this.emit(matmul({ out: ddown, a: dx, b: only(B), m, n: r, k: n, alpha }));
    this.emit(...embeddingBackward(A.grad!, ddown, ids, byId!.sorted, byId!.groups));
  }
}

/** The gradient of a bias, if it is trained. */
export function biasGradient(bias: Parameter | undefined, dy: Tensor, { count }: Rows): Dispatch[] {
  return bias?.grad ? [matmulBiasBackward(only(bias.grad), dy, count)] : [];
}

const isCheap = (layer: Layer): layer is Cheap => ["norm", "activate", "gate", "drop"].includes(layer.kind);

/** dx += ddown A for the adapters of such a group. */
function addDown(dx: Tensor, { group, ddown: a }: Adapters, { count: m }: Rows): Dispatch[] {
  const { count, r, input: n } = group;
  return Array.from({ length: count }, (_, i) => {
    const place = { lda: count * r, aOffset: i * r };
    return matmul({ out: dx, a, b: adapterPart(group, "A", i), m, n, k: r, beta: 1, ...place });
  });
}
