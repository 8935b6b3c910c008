/**
 * Matrices that bitsandbytes quantised, as transformers writes them: NF4 (the 4 bits of QLoRA, Dettmers et al. 2023)
 * and int8 (LLM.int8(), Dettmers et al. 2022). All are stored [out, in]: GPT-2's are transposed before they are
 * quantised.
 *
 *   NF4   NAME [size / 2], two codes a byte, the first in the upper half; NAME.absmax, the largest magnitude of each
 *         block; NAME.quant_state.bitsandbytes__nf4, JSON. A value is NF4[code] * absmax[block].
 *         Double quantisation: absmax are codes, too: nested_quant_map[code] * nested_absmax[block of blocks] +
 *           nested_offset.
 *   int8  NAME [out, in]; SCB [out], the largest magnitude of each row. A value is code * SCB / 127.
 *
 * Every product and sum is rounded to f32: the values of bitsandbytes' `dequantize_4bit` in float32 and
 * `int8_vectorwise_dequant`.
 */

import { BLOCKS, NESTED } from "../blocks.ts";
import type { ModelConfig } from "../config.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { checkKinds } from "../kinds.ts";
import { baseShapes } from "../names.ts";
import { MAXIMA, NF4, type NF4Parts } from "../quantize.ts";
import { numel, type Shape, sameShape, showShape } from "../tensor.ts";
import { LIMITS, parseJson } from "./limits.ts";
import { turnInto } from "./llama-files.ts";
import { llamaTensorsInFiles } from "./llama-names.ts";
import { checkRows, type Dtype, type Stored, type TensorSource } from "./tensor-file.ts";

/** A quantised matrix as the model has it: [in, out]. */
interface Matrix {
  readonly shape: Shape;
  /** Reads what is stored. The function that is returned gives the rows [start, end) as floats. */
  load(): Promise<(start: number, end: number) => Float32Array<ArrayBuffer>>;
  parts?(): Promise<NF4Parts | undefined>;
  codes: Stored;
}

/** The quantised matrices of a model. One at a time is in memory as it is stored: matrices are read in parts. */
class QuantizedMatrices {
  private last: { name: string; rows: Awaited<ReturnType<Matrix["load"]>> } | undefined;

  constructor(
    private readonly matrices: ReadonlyMap<string, Matrix>,
    private readonly where: string,
  ) {}

  has(name: string): boolean {
    return this.matrices.has(name);
  }

  shape(name: string): Shape | undefined {
    return this.matrices.get(name)?.shape;
  }

  /** Rows [start, end) of [in, out]. */
  async read(name: string, start = 0, end?: number): Promise<Float32Array<ArrayBuffer>> {
    const matrix = this.matrices.get(name)!;
    const to = end ?? matrix.shape[0]!;
    checkRows(name, matrix.shape, start, to, this.where);
    if (this.last?.name !== name) this.last = undefined;
    const rows = this.last?.rows ?? (await matrix.load());
    this.last = { name, rows };
    return rows(start, to);
  }

  /**
   * A model's tensors, of which the quantised matrices are read as floats [out, in]: those of a Llama-type model are
   * parts of ours.
   */
  asFloats(found: ReadonlyMap<string, Stored>): Map<string, Stored<TensorSource>> {
    const floats = new Map<string, Stored<TensorSource>>(found);
    for (const [key, { shape, codes }] of this.matrices) {
      const [inputs, outputs] = shape as [number, number];
      const file: TensorSource = {
        readF32: async () => {
          const values = new Float32Array(inputs * outputs);
          turnInto(values, inputs, 0, await this.read(key), inputs, outputs);
          return values;
        },
      };
      floats.set(key, { file, key, info: { ...codes.info, dtype: "F32", shape: [outputs, inputs] } });
    }
    return floats;
  }

  /** A matrix in NF4 as it is stored, if it has blocks of 64 and double quantisation as in QLoRA. */
  async parts(name: string): Promise<NF4Parts | undefined> {
    return this.matrices.get(name)?.parts?.();
  }
}

const BLOCK_SIZES: readonly unknown[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
const STATE = "quant_state.bitsandbytes__nf4";
/** What is stored beside a matrix. */
const PART =
  /^((?:h|layers)\.\d+\.\w+\.\w+)\.(?:weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+)|(SCB|weight_format))$/;

/** The types that bitsandbytes can store: the element type of the codes. */
type Kind = "nf4" | "int8";

/**
 * The quantised matrices of a model; what is stored beside them is taken out of `found`. `settings` is the
 * quantization_config of its config.json. Throws ConfigError for an unsupported quantisation, FormatError if the
 * tensors do not match it.
 */
export async function takeQuantized(
  found: Map<string, Stored>,
  settings: unknown,
  config: ModelConfig,
  { configPath, where }: { configPath: string; where: string },
): Promise<QuantizedMatrices> {
  const kind = parseQuantization(settings, configPath);
  const shapes = config.model_type ? llamaMatrices(config) : baseShapes(config);
  const parts = new Map<string, Parts>();
  for (const [name, stored] of found) {
    const [, module, ofWeight, ofModule] = PART.exec(name) ?? [];
    const matrix = module === undefined ? name : `${module}.weight`;
    const shape = shapes.get(matrix);
    const codes = found.get(matrix);
    if (!codes || shape?.length !== 2 || !/^(h|layers)\./.test(matrix)) continue;
    if (module === undefined && stored.info.dtype !== "U8" && stored.info.dtype !== "I8") continue;
    const own = parts.get(matrix) ?? new Parts(matrix, shape, codes, where);
    parts.set(matrix, own);
    if (module === undefined) continue;
    own.beside.set((ofWeight ?? ofModule)!, stored);
    found.delete(name);
  }
  if (parts.size === 0)
    throw new FormatError("invalid-quantization", "config.json has a quantization_config, but no matrix is quantised", {
      where,
      expected: `matrices in ${kind}`,
      found: "floats",
      hint: "delete quantization_config from config.json if the file was dequantised, or copy both files together",
    });
  const open = kind === "nf4" ? openNF4 : openInt8;
  const matrices = new Map<string, Matrix>();
  for (const [name, own] of parts) matrices.set(name, await open(own));
  return new QuantizedMatrices(matrices, where);
}

/** The matrices of a Llama-type model by their names in its files: [in, out]. */
function llamaMatrices(config: ModelConfig): Map<string, Shape> {
  const turned = llamaTensorsInFiles(config).filter(({ isTurned }) => isTurned);
  return new Map(turned.flatMap(({ parts }) => parts.map(({ key, shape }) => [key, [...shape].reverse()])));
}

function parseQuantization(settings: unknown, where: string): Kind {
  checkKinds({ quantization_config: settings }, { quantization_config: "object" }, where);
  const { quant_method, load_in_4bit, load_in_8bit, ...others } = settings as Record<string, unknown>;
  // Older versions do not name the method.
  if (quant_method !== undefined && quant_method !== "bitsandbytes")
    throw new ConfigError(
      "unsupported-quantization",
      `quant_method = ${JSON.stringify(quant_method)} is not supported`,
      {
        where,
        expected: "bitsandbytes, or a model in floats",
        hint: "use the original model, or its quantisation by bitsandbytes in NF4 or int8",
      },
    );
  if (others.llm_int8_has_fp16_weight === true)
    throw new ConfigError("unsupported-quantization", "llm_int8_has_fp16_weight is not supported", {
      where,
      expected: "int8 codes in the file",
    });
  if (load_in_4bit === load_in_8bit || ![load_in_4bit, load_in_8bit].includes(true))
    throw new FormatError("invalid-quantization", "quantization_config is invalid", {
      where,
      expected: "either load_in_4bit or load_in_8bit",
      found: JSON.stringify({ load_in_4bit, load_in_8bit }),
    });
  return load_in_4bit === true ? "nf4" : "int8";
}

/** A matrix and what is stored beside it. */
class Parts {
  readonly beside = new Map<string, Stored>();
  /** As stored: [out, in]. */
  readonly turned: Shape;

  constructor(
    readonly name: string,
    readonly shape: Shape,
    readonly codes: Stored,
    readonly where: string,
  ) {
    this.turned = [...shape].reverse();
  }

  get size(): number {
    return numel(this.shape);
  }

  wrong(
    what: string,
    expected: string,
    found: string,
    hint = "copy the model's files together, of one version",
  ): FormatError {
    return new FormatError("invalid-quantization", `${this.name}: ${what}`, {
      where: this.where,
      expected,
      found,
      hint,
    });
  }

  /** What is stored as `part`. Throws FormatError unless it is of this type and shape. */
  require(part: string, dtype: Dtype, shape: Shape): Stored {
    const stored = part === "codes" ? this.codes : this.beside.get(part);
    if (stored === undefined)
      throw this.wrong(`there is no ${part} of it`, part, [...this.beside.keys()].join(", ") || "the codes alone");
    const { info } = stored;
    if (info.dtype !== dtype || !sameShape(info.shape, shape))
      throw this.wrong(
        `wrong type or shape of ${part}`,
        `${dtype} ${showShape(shape)}`,
        `${info.dtype} ${showShape(info.shape)}`,
      );
    return stored;
  }

  /** Values that cannot be negative. */
  async magnitudes({ file, key }: Stored): Promise<Float32Array<ArrayBuffer>> {
    const values = await file.readFinite(key);
    const bad = values.findIndex((value) => value < 0);
    if (bad >= 0) throw this.wrong(`${key} has a negative value`, "0 or more", `${values[bad]} at element ${bad}`);
    return values;
  }
}

const readBytes = ({ file, key }: Stored) => file.readBytes(key);

/** What the JSON beside a matrix in NF4 says. */
interface State {
  blocksize: number;
  /** Of double quantisation. */
  nested?: { blocksize: number; offset: number };
}

async function readState(parts: Parts): Promise<State> {
  const given = [...parts.beside.keys()].find((part) => part.startsWith("quant_state.") && part !== STATE) ?? STATE;
  const unsupported = (what: string, found: string, expected: string) =>
    new ConfigError("unsupported-quantization", `${parts.name}: ${what} ${found} is not supported`, {
      where: parts.where,
      expected,
      hint: "quantise the model again, with bnb_4bit_quant_type nf4 and the other settings at their defaults",
    });
  if (given !== STATE) throw unsupported("the 4-bit type", given.replace(/.*__/, ""), "nf4");
  const shape = parts.beside.get(STATE)?.info.shape ?? [];
  if (numel(shape) > LIMITS.quantState)
    throw parts.wrong(`${STATE} is too long`, `at most ${LIMITS.quantState} bytes`, `${numel(shape)} bytes`);
  const stored = parts.require(STATE, "U8", [numel(shape)]);
  const where = `${parts.where}, ${stored.key}`;
  const json = parseJson(await readBytes(stored), where, "the quant_state is not JSON");
  checkKinds({ quant_state: json }, { quant_state: "object" }, where);
  const state = json as Record<string, unknown>;
  checkKinds(state, { quant_type: "text", dtype: "text", blocksize: "size" }, where);
  if (state.quant_type !== "nf4") throw unsupported("the 4-bit type", String(state.quant_type), "nf4");
  if (!["float32", "float16", "bfloat16"].includes(state.dtype as string))
    throw unsupported("dtype", String(state.dtype), "float32, float16 or bfloat16");
  if (!BLOCK_SIZES.includes(state.blocksize))
    throw unsupported("blocksize", String(state.blocksize), BLOCK_SIZES.join(", "));
  if (JSON.stringify(state.shape) !== JSON.stringify(parts.turned))
    throw parts.wrong(
      "the quant_state has the wrong shape",
      `${showShape(parts.turned)}, of [out, in]`,
      JSON.stringify(state.shape) ?? "none",
      "check that the config.json belongs to this file",
    );
  const blocksize = state.blocksize as number;
  if (!["nested_blocksize", "nested_offset", "nested_dtype"].some((key) => key in state)) return { blocksize };
  checkKinds(state, { nested_blocksize: "size", nested_offset: "number", nested_dtype: "text" }, where);
  if (state.nested_dtype !== "float32") throw unsupported("nested_dtype", String(state.nested_dtype), "float32");
  if (!BLOCK_SIZES.includes(state.nested_blocksize))
    throw unsupported("nested_blocksize", String(state.nested_blocksize), BLOCK_SIZES.join(", "));
  const offset = Math.fround(state.nested_offset as number);
  return { blocksize, nested: { blocksize: state.nested_blocksize as number, offset } };
}

async function openNF4(parts: Parts): Promise<Matrix> {
  const { size, shape } = parts;
  const codes = parts.require("codes", "U8", [Math.ceil(size / 2), 1]);
  const { blocksize, nested } = await readState(parts);
  const blocks = Math.ceil(size / blocksize);
  const table = parts.require("quant_map", "F32", [NF4.length]);
  const absmax = parts.require("absmax", nested ? "U8" : "F32", [blocks]);
  const nestedAbsmax = nested && parts.require("nested_absmax", "F32", [Math.ceil(blocks / nested.blocksize)]);
  const nestedMap = nested && parts.require("nested_quant_map", "F32", [MAXIMA.length]);

  async function checkTable(): Promise<void> {
    const values = await table.file.readF32(table.key);
    const other = values.findIndex((value, i) => value !== NF4[i]);
    if (other >= 0)
      throw parts.wrong("quant_map is not NF4's", `${NF4[other]} at element ${other}`, String(values[other]));
  }

  /** The largest magnitude of each block. That of double quantisation can be slightly below 0. */
  async function maxima(): Promise<Float32Array> {
    if (!(nested && nestedAbsmax && nestedMap)) return parts.magnitudes(absmax);
    const map = await nestedMap.file.readFinite(nestedMap.key);
    const most = await parts.magnitudes(nestedAbsmax);
    const values = Float32Array.from(
      await readBytes(absmax),
      (code, block) => Math.fround(map[code]! * most[Math.floor(block / nested.blocksize)]!) + nested.offset,
    );
    if (values.some((value) => !Number.isFinite(value)))
      throw parts.wrong("absmax is not finite", "numbers of moderate size", `nested_offset = ${nested.offset}`);
    return values;
  }

  return {
    shape,
    codes,
    async load() {
      await checkTable();
      const scales = await maxima();
      const bytes = await readBytes(codes);
      const [inputs] = shape as [number, number];
      // A division would cost more than everything else.
      const shift = Math.log2(blocksize);
      return dequantizeRows(shape, (output, input, into) => {
        const first = output * inputs + input;
        for (let j = 0; j < into.length; j++) {
          const at = first + j;
          const byte = bytes[at >>> 1]!;
          into[j] = NF4[at & 1 ? byte & 15 : byte >> 4]! * scales[at >>> shift]!;
        }
      });
    },
    async parts() {
      if (!(nested && nestedAbsmax && nestedMap)) return undefined;
      if (blocksize !== BLOCKS.q4 || nested.blocksize !== NESTED || shape[0]! % blocksize !== 0) return undefined;
      // The last bits of that map depend on the processor that computed it.
      const map = await nestedMap.file.readF32(nestedMap.key);
      if (map.some((value, i) => value !== MAXIMA[i])) return undefined;
      await checkTable();
      await maxima();
      return {
        codes: await readBytes(codes),
        absmax: await readBytes(absmax),
        nestedAbsmax: await parts.magnitudes(nestedAbsmax),
        offset: nested.offset,
      };
    },
  };
}

/** 1 / 127 as in bitsandbytes. */
const PER_CODE = Math.fround(7.874015718698502e-3);

async function openInt8(parts: Parts): Promise<Matrix> {
  const { shape, turned } = parts;
  const codes = parts.require("codes", "I8", turned);
  const scales = parts.require("SCB", "F32", [turned[0]!]);
  // Older versions do not write it.
  const format = parts.beside.has("weight_format") && parts.require("weight_format", "U8", []);
  return {
    shape,
    codes,
    async load() {
      const order = format ? (await readBytes(format))[0]! : 0;
      if (order !== 0)
        throw new ConfigError("unsupported-quantization", `${parts.name}: weight_format ${order} is not supported`, {
          where: parts.where,
          expected: "0, rows one behind the other",
          hint: "write the model with a newer bitsandbytes",
        });
      const most = await parts.magnitudes(scales);
      const bytes = new Int8Array((await readBytes(codes)).buffer);
      const [inputs] = shape as [number, number];
      return dequantizeRows(shape, (output, input, into) => {
        const first = output * inputs + input;
        for (let j = 0; j < into.length; j++) into[j] = Math.fround(bytes[first + j]! * most[output]!) * PER_CODE;
      });
    },
  };
}

/** Inputs that are dequantised at a time. */
const TILE = 64;

/** Rows of [in, out], from a function that dequantises those inputs of an output that `into` has room for. */
function dequantizeRows([, outputs]: Shape, dequantize: (output: number, input: number, into: Float32Array) => void) {
  return (start: number, end: number) => {
    const values = new Float32Array((end - start) * outputs!);
    for (let input = start; input < end; input += TILE) {
      const tile = new Float32Array(Math.min(TILE, end - input));
      for (let output = 0; output < outputs!; output++) {
        dequantize(output, input, tile);
        for (let j = 0; j < tile.length; j++) values[(input - start + j) * outputs! + output] = tile[j]!;
      }
    }
    return values;
  };
}
