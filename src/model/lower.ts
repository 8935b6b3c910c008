/** Lowers the layers of a model to dispatches. Letters: C n_embd, R rank. */
import { attentionScale, isEncoder, type ModelConfig } from "../core/config.ts";
import { layerName, loraName, magnitudeName, type Place, type Site, tensorName } from "../core/names.ts";
import { type Role, Tensor, type TensorPiece } from "../core/tensor.ts";
import { activationForward } from "../ops/activation.ts";
import { type AdapterGroup, loraDown } from "../ops/adapters.ts";
import type { Heads } from "../ops/attention.ts";
import { doraForward, doraNorm } from "../ops/dora.ts";
import { embeddingForward } from "../ops/embedding.ts";
import { gatherForward } from "../ops/gather.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { linearForward } from "../ops/linear.ts";
import { matmul } from "../ops/matmul.ts";
import { normForward } from "../ops/norm.ts";
import { ropeForward } from "../ops/rope.ts";
import { swigluForward } from "../ops/swiglu.ts";
import type { Segment } from "../plan/plan.ts";
import { AdapterRoom, type Adapters, addUp } from "./adapters.ts";
import { type BatchInputs, type Capacity, type Rows, rowTensor } from "./batch.ts";
import type { Dropout } from "./dropout.ts";
import type { Architecture, Cheap, Layer, Value } from "./graph.ts";
import { only, type Parameter, type Parameters } from "./parameters.ts";
import { rotate } from "./rope-table.ts";
import type { ModelSpec } from "./trainable.ts";

/** A value in a plan. */
interface Placed {
  /** [rows, columns] */
  tensor: Tensor;
  rows: Rows;
}

/** The context that all lists of a plan share. */
export interface Common {
  spec: ModelSpec;
  parameters: Parameters;
  architecture: Architecture;
  capacity: Capacity;
  /** The tables of a batch; null in a decoder, which does not need them. */
  batch: Pick<BatchInputs, "draws"> | null;
  derived: Derived;
  dropout?: Dropout | undefined;
  /** Whether a backward pass follows, which reads the inputs of activations. */
  saves: boolean;
}

/** The inputs of a list's layers besides values. */
export interface Source {
  /** The tokens. */
  rows: Rows;
  ids: Tensor;
  /** [rows, 2]: where their sequences begin in the batch, and end. */
  bounds: Tensor;
  /** The position of a sequence's first token. */
  shift: number;
  /** Emits the attention of block l. Returns what its backward pass reads besides the output, if one follows. */
  attend(f: Lowering, l: number, qkv: Tensor, out: Tensor): Tensor | undefined;
  /** The rows that are selected, and the first rows of the ranges whose means are taken. */
  selected: { rows: Rows; at: Tensor; firsts?: Tensor };
}

/**
 * Tensors that are functions of parameters alone, which all lists of a plan share: computed in a segment of their own,
 * where a parameter has changed.
 */
export class Derived {
  private readonly norms = new Map<Tensor, Tensor>();
  /** Of what it computes only outputs last: until it runs again. */
  readonly list: Dispatch[] = [];

  /** DoRA's norms [out] of a matrix W [in, out] with its adapters: see ops/dora.ts. */
  norm(W: Tensor, groups: readonly AdapterGroup[]): Tensor {
    const known = this.norms.get(W);
    if (known) return known;
    const norm = new Tensor(`${W.name}.norm`, [W.shape[1]!], "output");
    this.norms.set(W, norm);
    this.list.push(...doraNorm(norm, W, groups));
    return norm;
  }

  /** The segment, if there are any. */
  get segments(): Segment[] {
    return this.list.length > 0 ? [{ name: "derived", clears: [], dispatches: this.list }] : [];
  }
}

const TOKENS: Site = { target: "wte", block: null };

/** The heads of block l. */
export function attentionHeads(config: ModelConfig, l: number): Heads {
  const { n_head: count, n_kv_head: kvCount = count } = config;
  return { count, kvCount, scale: attentionScale(config, l), isCausal: !isEncoder(config) };
}

export class Lowering {
  readonly values = new Map<Value, Placed>();
  /** By layer what its backward rule reads besides inputs and output: a norm's statistics, an attention's `lse`. */
  readonly saved = new Map<Layer, Tensor>();
  /** By the name of a matrix. The first are part of the product; there are others only if ranks or scales differ. */
  readonly adapters = new Map<string, Adapters[]>();
  readonly room: AdapterRoom;

  /** `outputs`: the values that the host or another plan reads. */
  constructor(
    readonly common: Common,
    readonly source: Source,
    readonly list: Dispatch[],
    private readonly outputs: ReadonlySet<Value> = new Set(),
  ) {
    this.room = new AdapterRoom(common.spec, common.parameters, common.capacity);
  }

  emit(...dispatches: Dispatch[]): void {
    this.list.push(...dispatches);
  }

  lower(layers: readonly Layer[]): void {
    const readers = (value: Value) => layers.filter(({ inputs }) => inputs.includes(value)).length;
    for (let i = 0; i < layers.length; i++) {
      const [layer, behind] = [layers[i]!, layers[i + 1]];
      const next = behind?.inputs.includes(layer.out) ? behind : undefined;
      if (this.layer(layer, next, readers(layer.out) === 1)) i++;
    }
  }

  /**
   * Lowers a layer. Returns whether the next one is part of it: a matrix, or its scaling, computes what follows it.
   * `next` reads its output, `isOnly`: and nothing else does.
   */
  private layer(layer: Layer, next: Layer | undefined, isOnly: boolean): boolean {
    const [x] = layer.inputs as [Value];
    switch (layer.kind) {
      case "linear":
        return this.product(layer, next, isOnly);
      case "scale":
        return this.scale(layer, next);
      case "embed":
        this.embed(layer);
        break;
      case "rotate":
        this.emit(rotate(ropeForward, this.config, this.tensor(x), this.source));
        this.values.set(layer.out, this.at(x));
        break;
      case "attention": {
        const { tensor, rows } = this.at(x);
        const lse = this.source.attend(this, layer.block, tensor, this.make(layer.out, rows));
        if (lse) this.saved.set(layer, lse);
        break;
      }
      case "select": {
        const { rows, at, firsts } = this.source.selected;
        this.emit(gatherForward(this.make(layer.out, rows), this.tensor(x), at, layer.isMean ? firsts! : at));
        break;
      }
      case "add":
        throw new Error(`${layer.out.name}: only what a matrix gives is added`);
      default:
        this.emit(this.compute(layer, this.make(layer.out, this.at(x).rows)));
    }
    return false;
  }

  // ------------------------------------------------------------------------------------------------- values

  at(value: Value): Placed {
    return this.values.get(value)!;
  }

  tensor(value: Value): Tensor {
    return this.at(value).tensor;
  }

  make(value: Value, rows: Rows, role: Role = this.outputs.has(value) ? "output" : "activation"): Tensor {
    const tensor = makeTensor(value, rows, role);
    this.values.set(value, { tensor, rows });
    return tensor;
  }

  // ----------------------------------------------------------------------------------------------- matrices

  /** x W + b with the adapters of W, and the next layer, if the product can compute it: returns whether it does. */
  private product(layer: Layer<"linear">, next: Layer | undefined, isOnly: boolean): boolean {
    const [x, seen = x] = layer.inputs as [Value, Value?];
    const { tensor, rows } = this.at(x);
    const { weight: W, bias } = this.weights(layer.name);
    const adapters = layer.place ? this.room.make(layer.place, rows) : [];
    this.adapters.set(layer.name, adapters);
    for (const { group, down } of adapters) this.emit(loraDown(down, this.tensor(seen), group, rows.count));
    const [first, ...others] = adapters;
    const then = this.epilogue(layer, next, isOnly, rows);
    const product = { x: tensor, W, bias: layer.isBare ? undefined : bias, rows: rows.count, adapters: first };
    this.emit(linearForward({ ...product, ...then }));
    for (const other of others) this.emit(...addUp(then.out, other, rows));
    return next?.kind === "activate" || next?.kind === "add";
  }

  /** Where the result of a product goes, and what follows it. */
  private epilogue(layer: Layer, next: Layer | undefined, isOnly: boolean, rows: Rows) {
    const make = ({ out }: Layer) => this.make(out, rows);
    if (next?.kind === "activate") {
      const { by } = next;
      if (!this.common.saves) return { out: make(next), activate: { by, out: "in place" as const } };
      return { out: make(layer), activate: { by, out: make(next) } };
    }
    if (next?.kind !== "add") return { out: make(layer) };
    const residual = this.tensor(next.inputs[0]!);
    return isOnly ? { out: make(next), residual } : { out: make(layer), sum: { add: residual, out: make(next) } };
  }

  /** DoRA: scales the outputs of a matrix, and adds the residual stream, if that is next: returns whether it is. */
  private scale(layer: Layer<"scale">, next: Layer | undefined): boolean {
    const { rows } = this.at(layer.inputs[0]!);
    const residual = next?.kind === "add" ? this.tensor(next.inputs[0]!) : undefined;
    const out = this.make(residual ? next!.out : layer.out, rows);
    const { bias } = this.weights(layerName(layer.place));
    this.emit(...doraForward({ ...this.scaling(layer), out, bias, residual, rows: rows.count }));
    return residual !== undefined;
  }

  /** The inputs of DoRA's scaling: the outputs of the matrix before they are scaled, its magnitudes and norms. */
  scaling({ place, inputs }: Layer<"scale">) {
    const groups = this.adapters.get(layerName(place))!.map(({ group }) => group);
    const norm = this.common.derived.norm(this.parameterTensor(tensorName(place)), groups);
    const magnitude = this.parameter(magnitudeName(place));
    return { z: this.tensor(inputs[0]!), magnitude: only(magnitude), norm, columns: magnitude.columns! };
  }

  // ------------------------------------------------------------------------------------------- other layers

  /** The dispatch of such a layer into `out`: in the forward pass, or again in the backward pass. */
  compute(layer: Cheap, out: Tensor, inp = this.tensor(layer.inputs[0]!)): Dispatch {
    const { rows } = this.at(layer.inputs[0]!);
    switch (layer.kind) {
      case "norm":
        return normForward(out, this.normTensors(layer), rows.count, this.config.layer_norm_epsilon);
      case "activate":
        return activationForward(out, inp, rows.count, layer.by);
      case "gate":
        return swigluForward(out, inp, rows.count);
      case "drop":
        return this.dropped(layer.place, out, inp, rows);
    }
  }

  /** The input of the adapters at a place, as dropout leaves it. */
  dropped(place: Place, out: Tensor, inp: Tensor, rows: Rows): Dispatch {
    return this.common.dropout!.forward(place, out, inp, this.common.batch!.draws!, rows);
  }

  /** A norm's inputs, and its statistics, which are made where they are not yet. */
  normTensors(layer: Layer<"norm">) {
    const { tensor: inp, rows } = this.at(layer.inputs[0]!);
    const stats = this.saved.get(layer) ?? rowTensor(`${layer.name}.stats`, rows, [2]);
    this.saved.set(layer, stats);
    const { centred } = this.common.architecture;
    return { inp, stats, ...this.weights(layer.name), centred };
  }

  private embed(layer: Layer<"embed">): void {
    const { rows, ids, bounds, shift } = this.source;
    const x = this.make(layer.out, rows);
    this.emit(...embeddingForward(x, this.tokenTable, this.positionTable, ids, bounds, shift));
    const factors = this.tokenFactors();
    if (!factors) return;
    // x += s B A[ids].
    const { A, B, r, scale: alpha } = factors;
    const down = rowTensor("wte.down", rows, [r]);
    this.emit(gatherForward(down, only(A), ids, ids, rows.count));
    const [m, n] = [rows.count, x.shape[1]!];
    this.emit(matmul({ out: x, a: down, b: only(B), transB: true, m, n, k: r, alpha, beta: 1 }));
    this.saved.set(layer, down);
  }

  /** The token table; a prompt's virtual tokens are its next rows. */
  private get tokenTable(): TensorPiece[] {
    const prompt = this.common.parameters.all.get("prompt.weight");
    const table = this.parameter("wte.weight").pieces;
    return prompt ? [...table, ...promptRows(prompt.pieces, this.common.spec)] : table;
  }

  /** The table of positions; null where these are rotary. */
  private get positionTable(): Tensor | null {
    const table = this.common.parameters.all.get("wpe.weight");
    return table ? only(table) : null;
  }

  /** The adapter of the token table. */
  tokenFactors(): { A: Parameter; B: Parameter; r: number; scale: number } | null {
    const { all } = this.common.parameters;
    const [A, B] = (["A", "B"] as const).map((part) => all.get(loraName(TOKENS, part)));
    return A && B ? { A, B, ...A.adapter! } : null;
  }

  // --------------------------------------------------------------------------------------------- parameters

  get config(): ModelConfig {
    return this.common.spec.config;
  }

  parameter(name: string): Parameter {
    return this.common.parameters.all.get(name)!;
  }

  private parameterTensor(name: string): Tensor {
    return only(this.parameter(name));
  }

  private weights(name: string): { weight: Tensor; bias: Tensor | undefined } {
    const bias = this.common.parameters.all.get(`${name}.bias`);
    return { weight: this.parameterTensor(`${name}.weight`), bias: bias && only(bias) };
  }
}

/** A tensor for a value; where that has further rows, a view of the rows of the batch. */
export function makeTensor({ name, columns, room = 0 }: Value, rows: Rows, role: Role = "activation"): Tensor {
  const whole = new Tensor(name, [rows.capacity + room, columns], role);
  return room > 0 ? whole.view(name, [rows.capacity, columns], 0) : whole;
}

/** A prompt, or its gradient, as rows of the token table. */
export function promptRows(pieces: TensorPiece[], { config }: ModelSpec): TensorPiece[] {
  return [{ tensor: only(pieces), first: config.vocab_size }];
}
