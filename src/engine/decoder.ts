/**
 * A language model on a device that generates: tokens go in, the logits of the next token come out. A chunk may start at
 * any position of a slot if all tokens before it have been written there. What a slot holds stays until something else
 * is written there: a prompt that begins with it starts behind it (`sampleFirst`).
 */
import type { Backend, Session } from "../backend/backend.ts";
import { DeviceError, ShapeError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { promptLength } from "../model/batch.ts";
import { buildDecoder, type DecoderOptions, type DecoderPlan } from "../model/decoder.ts";
import { rowLosses } from "../ops/crossentropy.ts";
import { isGemv, NO_VALUES, type StepValues } from "../ops/kernel.ts";
import { type Draw, encodeDraws, NOT_FINITE } from "../ops/sample.ts";
import type { SegmentName } from "../plan/plan.ts";
import { loadQuantizer, Weights } from "./weights.ts";

/** Consecutive tokens of a sequence from a position on, not counting virtual tokens. */
interface Chunk {
  slot: number;
  position: number;
  ids: ArrayLike<number>;
}

/** A chunk, and how the token after it is chosen. */
export interface SampledChunk extends Chunk {
  draw: Omit<Draw, "slot">;
}

const drawAt = ({ slot, draw }: SampledChunk): Draw => ({ ...draw, slot });

/** What a pass reads in addition to its tokens. */
type StepInputs = Partial<Record<"rows" | "targets" | "draws", ArrayLike<number>>>;

type Options = Omit<DecoderOptions, "maxBinding"> & { maxBinding?: number };

export class Decoder extends Weights<DecoderPlan> {
  private readonly staging: Uint32Array;
  /** The ids from the start of each slot with the keys and values, to the bit, that a prefill of them computes. */
  private readonly held = new Map<number, readonly number[]>();

  /** `decodesAlike`: whether a decode writes the bits that a prefill does. */
  private constructor(
    plan: DecoderPlan,
    session: Session,
    quantize: Awaited<ReturnType<typeof loadQuantizer>>,
    private readonly decodesAlike: boolean,
  ) {
    super(plan, session, quantize);
    this.staging = new Uint32Array(plan.inputs.root.size);
  }

  override writeParameter(...written: Parameters<Weights["writeParameter"]>): void {
    super.writeParameter(...written);
    this.held.clear();
  }

  /** The plan that `create` would prepare. Allocates nothing. */
  static plan({ limits }: Pick<Backend, "limits">, options: Options): DecoderPlan {
    return buildDecoder({ ...options, maxBinding: Math.min(options.maxBinding ?? Infinity, limits.maxBinding) });
  }

  /**
   * Builds the plan and prepares it. Frozen parameters that `sharedFrom` has too are shared; all others are zero until
   * they are written. Throws DeviceError if the plan does not fit.
   */
  static async create(backend: Backend, options: Omit<Options, "shared">, sharedFrom?: Decoder) {
    const plan = Decoder.plan(backend, sharedFrom ? { ...options, shared: sharedFrom.frozen } : options);
    const quantize = await loadQuantizer(plan, backend);
    const session = await backend.prepare(plan, sharedFrom?.session);
    return new Decoder(plan, session, quantize, backend.info.kind === "wasm" && decodesAlike(plan));
  }

  /** Virtual tokens before every sequence. */
  private get virtual(): number {
    return this.plan.spec.num_virtual_tokens ?? 0;
  }

  /** A chunk behind the virtual tokens; those of a prompt are part of a sequence's first chunk. */
  private placed({ slot, position, ids }: Chunk): Chunk {
    const { spec } = this.plan;
    const length = promptLength(spec);
    if (length === 0 || position > 0) return { slot, position: position + this.virtual, ids };
    const prompt = Array.from({ length }, (_, j) => spec.config.vocab_size + j);
    return { slot, position, ids: [...prompt, ...Array.from(ids)] };
  }

  /** Writes chunks of any length into the cache; returns the logits [chunks, V] after the last token of each. */
  async prefill(chunks: readonly Chunk[]): Promise<Float32Array> {
    const V = this.plan.spec.config.vocab_size;
    const logits = new Float32Array(chunks.length * V);
    let done = 0;
    for (const { parts, ended } of this.batches(chunks)) {
      const rows = ended.length;
      this.run(rows > 0 ? ["prefill", "next"] : ["prefill"], parts, { rows: ended }, { slots: rows });
      if (rows > 0) logits.set(await this.session.read(this.plan.logits, 0, rows * V), done * V);
      done += rows;
    }
    return logits;
  }

  /** Writes one token of each sequence into the cache; returns the logits [tokens, V] after them. */
  async decode(chunks: readonly Chunk[]): Promise<Float32Array> {
    this.runDecode(["decode"], chunks);
    return this.session.read(this.plan.logits, 0, chunks.length * this.plan.spec.config.vocab_size);
  }

  /** Notes the tokens of a slot's sequence for the repetition penalty; the device adds those that it chooses. */
  markSeen(slot: number, ids: Iterable<number>): void {
    const { seen } = this.plan.sampled;
    const words = new Uint32Array(seen.shape[1]!);
    for (const id of ids) words[id >> 5]! |= 1 << (id & 31);
    this.session.write(seen, words, slot * words.length);
  }

  /** Of the free slots, the one in which the most of a prompt need not be computed, less what is lost there. */
  chooseSlot(ids: ArrayLike<number>, free: readonly number[]): number {
    const gain = (slot: number) => 2 * this.countHeld(slot, ids) - this.heldIn(slot).length;
    return free.reduce((best, slot) => (gain(slot) > gain(best) ? slot : best));
  }

  private heldIn(slot: number): readonly number[] {
    return this.held.get(slot) ?? [];
  }

  /** How many of the ids at the beginning of a prompt its slot holds; the last one is always computed. */
  private countHeld(slot: number, ids: ArrayLike<number>): number {
    const held = this.heldIn(slot);
    const most = Math.min(held.length, ids.length - 1);
    let count = 0;
    while (count < most && held[count] === ids[count]) count++;
    return count;
  }

  /** The tokens that a slot's sequence has in the cache are these, with those that the device has chosen. */
  holdChosen(slot: number, ids: readonly number[]): void {
    if (this.decodesAlike) this.held.set(slot, ids);
  }

  /**
   * As `prefill`, but chooses the token after each chunk, a prompt: its id is at `draw.to` of the result. Submits at
   * once, and only what the slots do not hold.
   */
  async sampleFirst(chunks: readonly SampledChunk[]): Promise<Uint32Array> {
    let done = 0;
    const rest = chunks.map(({ slot, ids }) => {
      const position = this.countHeld(slot, ids);
      return { slot, position, ids: Array.from(ids).slice(position) };
    });
    for (const { parts, ended } of this.batches(rest)) {
      const rows = ended.length;
      const draws = encodeDraws(chunks.slice(done, done + rows).map(drawAt));
      const segments = ["prefill", "next", "sample"] as const;
      this.run(rows > 0 ? segments : ["prefill"], parts, { rows: ended, draws }, { slots: rows });
      done += rows;
    }
    const [drawn] = await this.readDrawn(0, 1);
    // Nothing is held of what has failed.
    for (const { slot, ids } of chunks) this.held.set(slot, Array.from(ids));
    return drawn!;
  }

  /**
   * As `decode`, again and again, each time with the token that the device chose: the ids of every step, of all chunks.
   * A chunk without an id continues with what `sampleFirst` chose for this row. Submits at once.
   */
  async sampleNext(chunks: readonly SampledChunk[], steps: number): Promise<Uint32Array[]> {
    for (let step = 0; step < steps; step++) {
      const now = chunks.map(({ slot, position, ids, draw }) => ({
        slot,
        position: position + step,
        ids: step === 0 ? ids : [],
        draw: { ...draw, number: draw.number + step },
      }));
      this.runDecode(["decode", "sample"], now, { draws: encodeDraws(now.map(drawAt)) }, step + 1);
    }
    return this.readDrawn(1, steps);
  }

  /** Writes a chunk into the cache; returns the cross-entropy of each of its tokens against `targets`, in nats. */
  async losses(chunk: Chunk, targets: ArrayLike<number>): Promise<Float64Array> {
    const placed = this.placed(chunk);
    const extra = placed.ids.length - chunk.ids.length;
    const losses = new Float64Array(placed.ids.length);
    let done = 0;
    for (const { parts } of this.batches([chunk])) {
      const count = parts[0]!.ids.length;
      // A virtual token has no target: any id will do.
      const wanted = Array.from({ length: count }, (_, i) => targets[done + i - extra] ?? 0);
      this.run(["prefill", "score"], parts, { targets: wanted });
      const states = await this.session.read(this.plan.losses, 0, count * 4);
      losses.set(rowLosses(states), done);
      done += count;
    }
    return losses.subarray(extra);
  }

  /** Rows of `drawn`. Throws DeviceError if one has what is no token. */
  private async readDrawn(first: number, count: number): Promise<Uint32Array[]> {
    const { spec, sampled } = this.plan;
    const room = sampled.drawn.shape[1]!;
    const { buffer } = await this.session.read(sampled.drawn, first * room, count * room);
    const wrong = new Uint32Array(buffer).find((id) => (id & ~NOT_FINITE) >= spec.config.vocab_size);
    if (wrong !== undefined)
      throw new DeviceError("device-failed", "the device chose a token that does not exist", { found: `${wrong}` });
    return Array.from({ length: count }, (_, i) => new Uint32Array(buffer, i * room * 4, room));
  }

  /** Chunks behind virtual tokens, split to fit a prefill, in order, with the rows at which a chunk ends. */
  private *batches(chunks: readonly Chunk[]): Generator<{ parts: Chunk[]; ended: number[] }> {
    const { tokens, sequences } = this.plan.capacity;
    let parts: Chunk[] = [];
    let ended: number[] = [];
    let room = tokens;
    for (const { slot, position, ids } of chunks.map((chunk) => this.placed(chunk))) {
      for (let from = 0; from < ids.length; ) {
        const count = Math.min(room, ids.length - from);
        const some = Array.from({ length: count }, (_, i) => ids[from + i]!);
        parts.push({ slot, position: position + from, ids: some });
        from += count;
        room -= count;
        if (from === ids.length) ended.push(tokens - room - 1);
        if (room > 0 && ended.length < sequences) continue;
        yield { parts, ended };
        [parts, ended, room] = [[], [], tokens];
      }
    }
    if (parts.length > 0) yield { parts, ended };
  }

  /** A step of `decode`; the token of a chunk without an id is on the device. */
  private runDecode(
    segments: readonly SegmentName[],
    chunks: readonly Chunk[],
    inputs: StepInputs = {},
    slot = 0,
  ): void {
    const { capacity, sampled } = this.plan;
    const slots = chunks.length;
    if (slots > capacity.sequences || chunks.some(({ ids }) => ids.length > 1))
      throw tooMany(slots, capacity.sequences);
    const placed = chunks.map((chunk) => this.placed({ ...chunk, ids: [chunk.ids[0] ?? 0] }));
    for (const [row, { ids }] of chunks.entries())
      if (ids.length > 0) this.session.write(sampled.ids, Uint32Array.of(ids[0]!), row);
    this.run(segments, placed, inputs, { slots, slot });
  }

  private run(
    segments: readonly SegmentName[],
    chunks: readonly Chunk[],
    more: StepInputs,
    { slots: sequences = 0, slot = 0 }: Partial<StepValues> = {},
  ): void {
    const { inputs } = this.plan;
    const view = ({ offset, size }: Tensor) => this.staging.subarray(offset, offset + size);
    const [ids, bounds, slots] = [view(inputs.ids), view(inputs.bounds), view(inputs.slots)];
    let n = 0;
    for (const chunk of chunks) {
      this.check(chunk);
      const { slot, position, ids: some } = chunk;
      const [start, end] = [n - position, n + some.length];
      for (let i = 0; i < some.length; i++, n++) {
        ids[n] = some[i]!;
        bounds[2 * n] = start;
        bounds[2 * n + 1] = end;
        slots[2 * n] = slot;
        slots[2 * n + 1] = position + i;
      }
    }
    for (const [name, values] of Object.entries(more)) view(inputs[name as keyof StepInputs]).set(values);
    this.session.write(inputs.root, this.staging);
    const values = { ...NO_VALUES, tokens: n, sequences, slots: sequences, slot };
    for (const { slot, position } of chunks)
      this.held.set(slot, this.heldIn(slot).slice(0, Math.max(0, position - this.virtual)));
    this.withDerived(segments, (all) => this.session.run(all, values));
  }

  /** Throws ShapeError: the kernels do not check. */
  private check({ slot, position, ids }: Chunk): void {
    const { capacity, spec } = this.plan;
    const { n_positions } = spec.config;
    const known = spec.config.vocab_size + promptLength(spec);
    if (!(slot >= 0 && slot < capacity.sequences) || !(position >= 0 && position + ids.length <= n_positions))
      throw new ShapeError("cache-exceeded", "tokens do not fit into the cache", {
        expected: `slots 0 to ${capacity.sequences - 1}, positions 0 to ${n_positions - 1}`,
        found: `slot ${slot}, positions ${position} to ${position + ids.length - 1}`,
      });
    for (let i = 0; i < ids.length; i++)
      if (!(ids[i]! < known))
        throw new ShapeError("token-out-of-range", "a token id is outside the vocabulary", {
          expected: `0 to ${known - 1}`,
          found: String(ids[i]),
          where: `token ${i}`,
        });
  }
}

/**
 * Whether the CPU computes keys and values to the same bits in a decode and in a prefill: it does, but for products with
 * a function of their own for few rows, as adapters have.
 */
function decodesAlike({ segments }: DecoderPlan): boolean {
  const { dispatches } = segments.find(({ name }) => name === "decode")!;
  const last = dispatches.findLastIndex(({ tensors }) => tensors.some((tensor) => tensor?.role === "cache"));
  return !dispatches.slice(0, last).some((one) => one.kernel.gemv && isGemv(one));
}

function tooMany(found: number, slots: number): ShapeError {
  return new ShapeError("cache-exceeded", "the decoder has no room for these sequences", {
    expected: `at most ${slots}, one token each`,
    found: `${found}`,
  });
}
