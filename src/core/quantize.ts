/**
 * Quantises weights to 16, 8 or 4 bits, in the formats of src/core/blocks.ts. Loaded only if a plan has such weights.
 */
import { BLOCKS, type BlockDtype, blockBytes, layoutBlocks, MOST_CODE, NESTED } from "./blocks.ts";
import { ConfigError, ShapeError } from "./errors.ts";
import { floatToHalf } from "./half.ts";

/** Quantiles of a normal distribution, with 0 and both ends: QLoRA, appendix E. */
export const NF4 = Float32Array.of(
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635],
  ...[-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725],
  ...[0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
);

/** bitsandbytes' signed dynamic data type, ascending: 1 to 64 evenly spaced values per decade (seven), 0 and 1. */
export const MAXIMA = dynamicMap();

function dynamicMap(): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const count = 2 ** decade;
    const edges = linspace(0.1, 1, count + 1);
    for (let i = 0; i < count; i++) {
      const middle = Math.fround(Math.fround(edges[i]! + edges[i + 1]!) / 2);
      const value = Math.fround(Math.fround(10 ** (decade - 6)) * middle);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

/** As torch.linspace in f32, with one rounding a value: from both ends to the middle. */
function linspace(first: number, last: number, count: number): Float32Array {
  const start = Math.fround(first);
  const step = Math.fround(Math.fround(last - start) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < count >> 1 ? start + step * i : last - step * (count - 1 - i),
  );
}

/** As in bitsandbytes, also for a block of zeros. */
const inverseScale = (most: number) => Math.fround(1 / Math.max(most, 1e-38));

/** The index of the value nearest to x in an ascending table is the number of these below x. */
function midpoints(table: Float32Array): Float32Array {
  return Float32Array.from(table.subarray(1), (value, i) => (value + table[i]!) / 2);
}

/** The last one exceeds every weight. */
const NF4_MIDDLES = Float32Array.of(...midpoints(NF4), Infinity);
const MAXIMA_MIDDLES = midpoints(MAXIMA);

/** The code at the start of each interval of 1 / 64 from -1 on. An interval holds at most one midpoint of NF4. */
const NF4_STARTS = Uint8Array.from({ length: 129 }, (_, i) => countBelow(NF4_MIDDLES, i / 64 - 1));

/** The code of x, from -1 to 1. */
function nearestNF4(x: number): number {
  const code = NF4_STARTS[((x + 1) * 64) | 0]!;
  return code + Number(x > NF4_MIDDLES[code]!);
}

/** The number of elements of an ascending table below x. */
function countBelow(table: Float32Array, x: number): number {
  let low = 0;
  for (let high = table.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (table[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where values lie in an array: the elements from one output, or input, to the next. */
interface Strides {
  output: number;
  input: number;
}

/** The largest loss by rounding to int16, root mean square over mean magnitude: normal weights lose .07 %. */
const MOST_LOST = 0.01;

/** Quantises one tensor, piece by piece. */
export class Quantizer {
  private readonly bytes: Uint8Array;
  /** Of each block: the scale of q8, the maximum of q4; of each row: the scale of int16. */
  private readonly scales: Float32Array;
  private readonly block: Float32Array;
  /**
   * In int16: rows whose inputs have come in part; the sums of the magnitudes of the weights, and of
   * the squares of what rounding lost.
   */
  private rows: Float32Array | null = null;
  private magnitudes = 0;
  private lost = 0;
  /** The bits of `block`. */
  private readonly signs: Int32Array;
  /** Weights not yet taken. */
  left: number;

  /** Of `outputs` times `inputs` weights; the latter a multiple of the block. */
  constructor(
    readonly name: string,
    readonly dtype: BlockDtype,
    readonly outputs: number,
    readonly inputs: number,
  ) {
    this.left = outputs * inputs;
    this.bytes = new Uint8Array(blockBytes(dtype, this.left, Math.max(outputs, inputs)));
    const length = dtype === "int16" ? inputs : BLOCKS[dtype];
    this.scales = new Float32Array(this.left / length);
    this.block = new Float32Array(length);
    this.signs = new Int32Array(this.block.buffer);
  }

  /**
   * Takes `outputs` x `inputs` weights from `output` and `input` on, in whole blocks of inputs. Throws ConfigError for
   * a weight that is not finite.
   */
  take(
    values: Float32Array,
    strides: Strides,
    at: { output: number; outputs: number; input: number; inputs: number },
  ): void {
    const { block, inputs, scales, dtype } = this;
    const length = BLOCKS[dtype];
    if (at.input % length !== 0 || at.inputs % length !== 0)
      throw new ShapeError("wrong-shape", `${this.name}: no whole blocks of inputs`, {
        expected: `multiples of ${length}`,
        found: `${at.inputs} from ${at.input} on`,
      });
    if (dtype === "int16") {
      this.takeRows(values, strides, at);
      return;
    }
    const perOutput = inputs / length;
    for (let o = 0; o < at.outputs; o++)
      for (let i = 0; i < at.inputs; i += length) {
        let most = 0;
        let from = o * strides.output + i * strides.input;
        for (let j = 0; j < length; j++) {
          const value = values[from]!;
          block[j] = value;
          most = Math.max(most, Math.abs(value));
          from += strides.input;
        }
        if (!(most < Infinity)) this.refuse(most);
        const index = (at.output + o) * perOutput + (at.input + i) / length;
        scales[index] = dtype === "q8" ? most / 127 : most;
        if (dtype === "q8") this.eight(index, scales[index]!);
        else this.four(index, most);
      }
    this.left -= at.outputs * at.inputs;
  }

  /** Codes by the scale before it is rounded to f16, as Q8_0. */
  private eight(index: number, scale: number): void {
    const { block, bytes, signs } = this;
    const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
    const at = index * block.length;
    for (let j = 0; j < block.length; j++) {
      // Rounds half away from zero, without a branch that is hard to predict.
      const magnitude = (Math.fround(Math.abs(block[j]!) * inverse) + 0.5) | 0;
      const sign = signs[j]! >> 31;
      bytes[at + j] = (magnitude ^ sign) - sign;
    }
  }

  private four(index: number, most: number): void {
    const { block, bytes } = this;
    const inverse = inverseScale(most);
    const at = (index * block.length) / 2;
    for (let j = 0; j < block.length; j += 2) {
      const high = nearestNF4(Math.fround(block[j]! * inverse));
      bytes[at + (j >> 1)] = (high << 4) | nearestNF4(Math.fround(block[j + 1]! * inverse));
    }
  }

  /** A row has one scale: it is quantised when all its inputs are there. */
  private takeRows(
    values: Float32Array,
    strides: Strides,
    at: { output: number; outputs: number; input: number; inputs: number },
  ): void {
    const { inputs, outputs } = this;
    const isWhole = at.inputs === inputs;
    if (!isWhole) this.rows ??= new Float32Array(outputs * inputs);
    for (let o = 0; o < at.outputs; o++) {
      const output = at.output + o;
      const row = isWhole ? this.block : this.rows!.subarray(output * inputs, (output + 1) * inputs);
      let from = o * strides.output;
      for (let i = at.input; i < at.input + at.inputs; i++) {
        row[i] = values[from]!;
        from += strides.input;
      }
      if (isWhole) this.sixteen(output, row);
    }
    this.left -= at.outputs * at.inputs;
    if (this.left > 0 || !this.rows) return;
    for (let o = 0; o < outputs; o++) this.sixteen(o, this.rows.subarray(o * inputs, (o + 1) * inputs));
    this.rows = null;
  }

  private sixteen(output: number, row: Float32Array): void {
    let most = 0;
    for (let i = 0; i < row.length; i++) most = Math.max(most, Math.abs(row[i]!));
    if (!(most < Infinity)) this.refuse(most);
    const scale = Math.fround(most / MOST_CODE);
    const inverse = scale > 0 ? MOST_CODE / most : 0;
    const codes = new Int16Array(this.bytes.buffer, 2 * output * this.inputs, this.inputs);
    let [magnitudes, lost] = [0, 0];
    for (let i = 0; i < row.length; i++) {
      const weight = row[i]!;
      // Math.round takes four times as long.
      const code = Math.floor(weight * inverse + 0.5);
      codes[i] = code;
      const error = weight - code * scale;
      magnitudes += Math.abs(weight);
      lost += error * error;
    }
    this.scales[output] = scale;
    this.magnitudes += magnitudes;
    this.lost += lost;
  }

  /** Throws ConfigError if a few weights are so large that the scales of their rows lose the others. */
  private checkLoss(): void {
    const count = this.outputs * this.inputs;
    const error = Math.sqrt(this.lost / count) / (this.magnitudes / count);
    if (!(error > MOST_LOST)) return;
    throw new ConfigError("weights-out-of-range", `${this.name} cannot be kept in int16`, {
      expected: "weights of similar sizes in each row",
      found: `rounding loses ${(100 * error).toFixed(1)} % of the mean weight`,
      hint: "use f32, f16 or q8",
    });
  }

  /** The stored tensor, once all weights have been taken. */
  finish(): Uint8Array {
    const { bytes, dtype, scales } = this;
    const parts = layoutBlocks(dtype, this.outputs * this.inputs);
    if (dtype === "int16") {
      this.checkLoss();
      bytes.set(new Uint8Array(scales.buffer), parts.scales);
    } else if (parts.mean === undefined) {
      const halves = floatToHalf(scales);
      halves.forEach((half, i) => {
        if (half >= 0x7c00) this.refuse(127 * scales[i]!);
      });
      bytes.set(new Uint8Array(halves.buffer), parts.scales);
    } else {
      writeMaxima(bytes, scales);
    }
    return bytes;
  }

  private refuse(found: number): never {
    throw new ConfigError("weights-out-of-range", `${this.name} cannot be kept in ${this.dtype}`, {
      expected: this.dtype === "q8" ? `finite numbers of at most ${127 * 65504}` : "finite numbers",
      found: String(found),
      hint: "keep the weights in f32",
    });
  }
}

/** The stored tensor of a whole matrix [in, out]. */
export function quantizeMatrix(
  name: string,
  dtype: BlockDtype,
  values: Float32Array,
  inputs: number,
  outputs: number,
): Uint8Array {
  const quantizer = new Quantizer(name, dtype, outputs, inputs);
  quantizer.take(values, { output: 1, input: outputs }, { output: 0, outputs, input: 0, inputs });
  return quantizer.finish();
}

/** The second quantisation of q4: writes everything but the codes of the weights. */
function writeMaxima(bytes: Uint8Array, maxima: Float32Array): void {
  const { scales, nested } = layoutBlocks("q4", maxima.length * BLOCKS.q4);
  const mean = Math.fround(maxima.reduce((sum, x) => sum + x, 0) / maxima.length);
  const nestedMaxima = new Float32Array(Math.ceil(maxima.length / NESTED));
  for (const block of nestedMaxima.keys()) {
    const centred = maxima.subarray(block * NESTED, (block + 1) * NESTED).map((x) => x - mean);
    const most = centred.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    nestedMaxima[block] = most;
    const inverse = inverseScale(most);
    for (const [i, x] of centred.entries())
      bytes[scales + block * NESTED + i] = countBelow(MAXIMA_MIDDLES, Math.fround(x * inverse));
  }
  bytes.set(new Uint8Array(Float32Array.of(...nestedMaxima, mean, ...MAXIMA, ...NF4).buffer), nested);
}
