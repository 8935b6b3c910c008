/**
 * uvu, made unable to pass in silence. uvu exits 0 when a hook throws, when a file forgets `.run()`, when a folder is
 * empty and with a stray `.only`; here a file declares tests with `test(name, body)` and the harness runs them, counts
 * them and prints one line that `run.mjs` demands.
 */
import { isMainThread } from "node:worker_threads";
import { suite } from "uvu";
import { LowrankError } from "../../src/core/errors.ts";

type Body = () => void | Promise<void>;

const cases: { name: string; body: Body }[] = [];
const skipped: string[] = [];
let finished = 0;
let failed = 0;

/** quick: the tests of `npm test`; rest: those that only `npm run test:all` runs; all: both. */
export const TESTS = process.env.LOWRANK_TESTS ?? "quick";
/** Tests that this run leaves out. */
let left = 0;

/** Declares a test. Tests of a file run in the order of their declaration. */
export function test(name: string, body: Body): void {
  if (TESTS === "rest") left++;
  else cases.push({ name, body });
}

/** Declares a test that only `npm run test:all` runs. */
export function testAll(name: string, body: Body): void {
  if (TESTS === "quick") left++;
  else cases.push({ name, body });
}

/** Declares a test that every run has, each a part of it, as `TESTS` says. */
export function testInParts(name: string, body: Body): void {
  cases.push({ name, body });
}

/** Those of the cases of such a test that this run has: `npm test` the quick ones. */
export const inParts = <T>(cases: readonly T[], isQuick: (one: T) => boolean): T[] =>
  cases.filter((one) => TESTS === "all" || isQuick(one) === (TESTS === "quick"));

/** Declares a test that runs only where `condition` holds; elsewhere it is counted as skipped, with the reason. */
export function testIf(condition: boolean, reason: string, name: string, body: Body): void {
  if (condition) test(name, body);
  else skipped.push(`${name} (${reason})`);
}

/** Releases what the file's tests shared, after the last of them: what was made last, first. */
export function afterAll(body: Body): void {
  cleanups.push(body);
}
const cleanups: Body[] = [];

function run(): void {
  const all = suite();
  for (const { name, body } of cases) {
    all(name, async () => {
      try {
        await body();
        finished++;
      } catch (error) {
        failed++;
        // uvu takes `details` for the text of an assertion and falls silent over an object of that name.
        if (error instanceof LowrankError) throw Object.assign(new Error(error.message), { stack: error.stack });
        throw error;
      }
    });
  }
  all("clean up", async () => {
    for (const body of cleanups.reverse()) await body();
    const report = { declared: cases.length, finished, failed, skipped, left };
    process.stdout.write(`\n@harness ${JSON.stringify(report)}\n`);
  });
  all.run();
}

// A worker that a test starts from its own file (test/fuzz) has none to run.
if (isMainThread) setTimeout(run, 0);
