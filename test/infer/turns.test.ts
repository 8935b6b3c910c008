/** Calls in turns: their order, iteration that is left, hurried or abandoned, and errors. */
import * as assert from "uvu/assert";
import { iterate } from "../../src/infer/text/read-ahead.ts";
import { Turns } from "../../src/infer/turns.ts";
import { test } from "../helpers/harness.ts";

/** Counts to `end`; `made` has the numbers that were made so far. */
async function* countTo(end: number, made: number[], fails = false): AsyncGenerator<number, void, void> {
  try {
    for (let i = 1; i <= end; i++) {
      await Promise.resolve();
      made.push(i);
      yield i;
    }
    if (fails) throw new Error("it failed");
  } finally {
    made.push(0);
  }
}

/** Waits until everything that can continue has done so. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("calls begin in order, each after the one before it, also after an error", async () => {
  const turns = new Turns();
  const log: string[] = [];
  const call = (name: string) =>
    turns.run(async () => {
      log.push(`${name} begins`);
      await settled();
      log.push(`${name} ends`);
      if (name === "b") throw new Error("b failed");
      return name;
    });
  const results = await Promise.allSettled(["a", "b", "c"].map(call));
  assert.equal(
    log,
    ["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
  assert.equal(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("elements are computed on demand, and all of them once another call waits", async () => {
  const turns = new Turns();
  const made: number[] = [];
  const seen: number[] = [];
  for await (const i of iterate(turns, () => countTo(4, made))) {
    seen.push(i);
    if (i === 2) {
      await settled();
      assert.equal(made, [1, 2]);
      assert.is(await turns.run(async () => made.length), 5);
    }
  }
  assert.equal(seen, [1, 2, 3, 4]);
});

test("an iteration that is left or abandoned holds up nobody", async () => {
  const turns = new Turns();
  const left: number[] = [];
  for await (const _ of iterate(turns, () => countTo(9, left))) break;
  assert.equal(left, [1, 0]);
  const abandoned: number[] = [];
  await iterate(turns, () => countTo(3, abandoned)).next();
  assert.equal(abandoned, [1]);
  // Two that wait: the second waits for the first, which was hurried before it began.
  const [second, third] = [[], []] as number[][];
  const one = iterate(turns, () => countTo(2, second!));
  const other = iterate(turns, () => countTo(2, third!));
  assert.equal(await Promise.all([one.next(), other.next(), turns.run(async () => 7)]), [
    { value: 1, done: false },
    { value: 1, done: false },
    7,
  ]);
  assert.equal(
    [abandoned, second, third],
    [
      [1, 2, 3, 0],
      [1, 2, 0],
      [1, 2, 0],
    ],
  );
  assert.equal([(await one.next()).value, (await one.next()).done], [2, true]);
});

test("an error comes after the elements before it, and ends the turn", async () => {
  const turns = new Turns();
  const seen: number[] = [];
  const failing = iterate(turns, () => countTo(2, [], true));
  await failing.next();
  assert.is(await turns.run(async () => 1), 1);
  try {
    for await (const i of failing) seen.push(i);
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).message, "it failed");
  }
  assert.equal(seen, [2]);
  const never = iterate<number>(turns, () => {
    throw new Error("no start");
  });
  assert.is((await never.next().catch((error) => error)).message, "no start");
  assert.is(await turns.run(async () => 2), 2);
});
