/** Tests of random cases: a few of them in `npm test`, many in `npm run test:all`, as many as asked for by hand. */
import { test, testAll } from "./harness.ts";

/** The first seed of the many rounds: other cases than those of the few. */
const OTHERS = 1_000_000;

/**
 * Declares a test of `few` rounds from seed 1 on, and one of `many` others for test:all. The variables LOWRANK_FUZZ (how
 * many) and LOWRANK_FUZZ_SEED (the first seed) make one test of both.
 */
export function testRounds(
  few: number,
  many: number,
  describe: (rounds: number, seed: number) => string,
  body: (rounds: number, seed: number) => void | Promise<void>,
): void {
  const { LOWRANK_FUZZ: asked, LOWRANK_FUZZ_SEED: first } = process.env;
  const declare = (on: typeof test, rounds: number, seed: number) =>
    on(describe(rounds, seed), () => body(rounds, seed));
  if (asked !== undefined || first !== undefined) declare(test, Number(asked ?? few), Number(first ?? 1));
  else {
    declare(test, few, 1);
    declare(testAll, many, OTHERS);
  }
}
