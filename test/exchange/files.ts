/** Changed safetensors files, and what our reader makes of each: the side of `files.mjs` that needs the sources. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { LowrankError } from "../../src/errors.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { encodeSafetensors } from "../../src/io/safetensors-write.ts";
import { FLOATS } from "../../src/io/tensor-file.ts";
import { Rng } from "../../src/rng.ts";
import { pick } from "../fuzz/mutate.ts";
import { mutateSafetensors } from "../fuzz/safetensors-files.ts";

/** What a reader says to a file: why it refuses it, or "TYPE [shape] sha256" of each tensor's values. */
export type Verdict = { refused: string } | { tensors: Record<string, string> };

const golden = packagePath("test/golden/peft");
const sources = readdirSync(golden, { recursive: true })
  .map(String)
  .filter((name) => /(model|adapter_model)\.safetensors$/.test(name))
  .map((name) => Uint8Array.from(readFileSync(join(golden, name))));
sources.push(
  encodeSafetensors([
    { name: "a", dtype: "F32", shape: [2, 3], data: Float32Array.of(1, -0, 1e-40, 3.4e38, Number.NaN, Infinity) },
    { name: "b", dtype: "I32", shape: [], data: Int32Array.of(-7) },
    { name: "c", dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
  ]),
);

/** Writes `count` changed files to a folder, N.safetensors, and returns our verdict of each. */
export async function changedFiles(folder: string, count: number, seed: number): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (let i = 0; i < count; i++) {
    const rng = new Rng(seed + i);
    const bytes = mutateSafetensors(rng, pick(rng, sources));
    writeFileSync(join(folder, `${i}.safetensors`), bytes);
    verdicts.push(await judgeFile(bytes));
  }
  return verdicts;
}

async function judgeFile(bytes: Uint8Array): Promise<Verdict> {
  try {
    const file = await SafetensorsFile.open(bytesReader("file", bytes));
    const tensors: [string, string][] = [];
    for (const name of file.names) {
      const { dtype, shape } = file.info(name);
      tensors.push([name, `${dtype} [${shape}]${await hashValues(file, name, dtype)}`]);
    }
    return { tensors: Object.fromEntries(tensors.sort()) };
  } catch (error) {
    if (error instanceof LowrankError) return { refused: error.message };
    throw error;
  }
}

/** sha256 of the values as floats, every NaN as one of them; nothing for the types that are not read. */
async function hashValues(file: SafetensorsFile, name: string, dtype: string): Promise<string> {
  if (!(FLOATS as readonly string[]).includes(dtype)) return "";
  const values = await file.readF32(name);
  const bits = new Uint32Array(values.buffer);
  for (const [i, value] of values.entries()) if (Number.isNaN(value)) bits[i] = 0x7fc00000;
  return ` ${createHash("sha256").update(bits).digest("hex")}`;
}
