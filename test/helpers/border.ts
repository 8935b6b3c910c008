/** What the tests of the file formats share: folders of their own, seeded numbers, and errors by their codes. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { LowrankError } from "../../src/core/errors.ts";
import { numel } from "../../src/core/tensor.ts";
import { afterAll } from "./harness.ts";

/** A new folder, in `parent` where there is one, deleted after the file's last test. */
export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(existsSync(parent) ? parent : tmpdir(), "lowrank-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Repeatable floats of about standard deviation 1 (mulberry32, sums of four). */
export function numbers(seed: number): (shape: readonly number[]) => Float32Array {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return (shape) => {
    const values = new Float32Array(numel(shape));
    // Tiny models have a vocabulary of 50,257: `Float32Array.from` would take three times as long.
    for (let i = 0; i < values.length; i++)
      values[i] = (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3);
    return values;
  };
}

/**
 * Runs `body`, which must throw an error of ours of this code (its class follows from it, by type), whose message has
 * every one of `words`; gives the message.
 */
export async function assertFails(
  code: ErrorCode,
  ...rest: [words: readonly string[], body: () => unknown] | [body: () => unknown]
): Promise<string> {
  const body = rest.at(-1) as () => unknown;
  const words = rest.length === 2 ? rest[0] : [];
  let error: unknown;
  try {
    await body();
  } catch (thrown) {
    error = thrown;
  }
  if (error === undefined) throw new Error(`no error; expected ${code}`);
  if (!(error instanceof LowrankError)) throw new Error(`expected ${code}, got ${String(error)}`, { cause: error });
  if (error.code !== code) throw new Error(`the code ${error.code} instead of ${code}:\n${error.message}`);
  for (const word of words)
    if (!error.message.includes(word)) throw new Error(`"${word}" is not in the message:\n${error.message}`);
  return error.message;
}

/** Throws unless both have the same files; assert.equal would compare the bytes of other ones for minutes. */
export function assertSameFiles(
  actual: Readonly<Record<string, Uint8Array>>,
  expected: Readonly<Record<string, Uint8Array>>,
): void {
  const names = [...new Set([...Object.keys(actual), ...Object.keys(expected)])].sort();
  const isSame = (a?: Uint8Array, b?: Uint8Array) => a && b && Buffer.compare(a, b) === 0;
  const others = names.filter((name) => !isSame(actual[name], expected[name]));
  if (others.length === 0) return;
  for (const name of others.filter((name) => /\.(json|md|txt|csv)$/.test(name)))
    assert.is(...([actual, expected].map((files) => new TextDecoder().decode(files[name])) as [string, string]), name);
  throw new Error(`other bytes: ${others.join(", ")}`);
}

/** Throws unless both have the same bits, so that -0 differs from 0 and NaN equals itself. */
export function assertSameBits(name: string, actual: Float32Array, expected: Float32Array): void {
  if (actual.length !== expected.length)
    throw new Error(`${name}: ${actual.length} elements, expected ${expected.length}`);
  const a = new Uint32Array(actual.buffer, actual.byteOffset, actual.length);
  const b = new Uint32Array(expected.buffer, expected.byteOffset, expected.length);
  for (let i = 0; i < a.length; i++)
    if (a[i] !== b[i]) throw new Error(`${name}[${i}]: ${actual[i]} instead of ${expected[i]}`);
}
