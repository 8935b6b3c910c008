/** A time budget: which trials are trained, with stub trials and a stub clock. */
import * as assert from "uvu/assert";
import type { Trial } from "../../src/study/grid.ts";
import { type Candidate, halve, type Losses, listCandidates, nextStep, Pace } from "../../src/study/halving.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { test } from "../helpers/harness.ts";

/** Operations of a trial of each rung, in thousands. */
const COSTS = [1, 3, 9];

const trialOf = (name: string, rung: number, model = "m"): Trial => ({
  ...{ name: `${name}-${rung}`, key: `${name}-${rung}`, model },
  options: { mode: "lora", epochs: COSTS[rung]! } as TrainOptions,
});
const candidateOf = (name: string, model = "m"): Candidate => ({
  rungs: COSTS.map((_, rung) => [trialOf(name, rung, model)]),
});
const candidates = (count: number) => Array.from({ length: count }, (_, i) => candidateOf(`c${i}`));
const costOf = ({ options }: Trial) => options.epochs;

/** A study of stub trials; each takes a second for an operation after its start, and the loss of candidate i is |i - best|. */
function stub(all: readonly Candidate[], { best = 2, slowAfter = Infinity, fails = "", start = 0 } = {}) {
  const ended = new Map<string, { loss: number; seconds: number }>();
  const done: string[] = [];
  const lossOf = (name: string) => Math.abs(Number(/\d+/.exec(name)![0]) - best);
  return {
    async train(seconds: number): Promise<string> {
      let left = seconds;
      const abort = new AbortController();
      const begunAt = done.length;
      const rounds = halve({
        ...{ candidates: all, costOf, signal: abort.signal },
        secondsLeft: () => left,
        find: async ({ key }) => ended.get(key) ?? null,
      });
      for await (const trials of rounds)
        for (const trial of trials) {
          const seconds = start + costOf(trial) * (done.length < slowAfter ? 1 : 10);
          left -= seconds;
          if (left < 0) {
            abort.abort();
            break;
          }
          done.push(trial.name);
          if (trial.name !== fails) ended.set(trial.key, { loss: lossOf(trial.name), seconds });
        }
      return done.slice(begunAt).join(" ");
    },
  };
}

test("of nine candidates three go on, then one, the one with the lowest loss", async () => {
  const rest = "c0-0 c1-0 c2-0 c3-0 c4-0 c5-0 c6-0 c7-0 c8-0";
  assert.is(await stub(candidates(9)).train(100), `${rest} c2-1 c1-1 c3-1 c2-2`);
});

test("what does not fit is left out: the last candidates of the list, so that the rungs after it still fit", async () => {
  // Four to try (4), two go on (6), one to the end (9): 19. Of five it would be 20.
  assert.is(await stub(candidates(9)).train(19.5), "c0-0 c1-0 c2-0 c3-0 c2-1 c1-1 c2-2");
});

test("where no run to the end fits behind three candidates, it is left out and not the choice; the rest of the time is spent on further ones", async () => {
  assert.is(await stub(candidates(9)).train(8), "c0-0 c1-0 c2-0 c2-1 c3-0 c4-0");
  assert.is(await stub(candidates(9)).train(2), "c0-0 c1-0");
});

test("with the time that is left further candidates are tried", async () => {
  const all = candidates(30);
  const names = (await stub(all, { best: 4 }).train(60)).split(" ");
  const spent = names.reduce((sum, name) => sum + COSTS[Number(name.at(-1))]!, 0);
  assert.ok(spent <= 60 && spent > 60 - COSTS[2]!, `${spent} of 60 seconds`);
  assert.ok(names.includes("c4-2"), "the best one to the end");
});

test("the same study goes on with more time, and repeats nothing", async () => {
  const study = stub(candidates(9));
  await study.train(8);
  assert.is(await study.train(40), "c5-0 c6-0 c7-0 c8-0 c1-1 c3-1 c2-2");
  assert.is(await study.train(40), "", "nothing is left to do");
});

test("a trial that fails goes no further, and its place is not taken", async () => {
  assert.is(await stub(candidates(4), { fails: "c2-0" }).train(100), "c0-0 c1-0 c2-0 c3-0 c1-1 c1-2");
});

test("where trials get slower than the others were, the deadline ends what is trained, and nothing begins after it", async () => {
  assert.is(await stub(candidates(9), { slowAfter: 4 }).train(19.5), "c0-0 c1-0 c2-0 c3-0");
});

test("a trial that another process has begun is neither waited for nor begun again", () => {
  const all = candidates(3);
  const losses: Losses = new Map([
    ["c0-0", 2],
    ["c1-0", 1],
  ]);
  const isTaken = ({ key }: Trial) => key === "c2-0";
  const step = nextStep({
    candidates: all,
    losses,
    isTaken,
    from: 0,
    costOf,
    estimate: costOf,
    isMeasured: () => true,
    skips: false,
    secondsLeft: 100,
  });
  assert.equal([step!.rung, step!.trials.map(({ key }) => key)], [1, ["c1-1"]]);
});

test("the cheapest trial of each model measures the others; what is promising is not left out for what is cheap", async () => {
  const dear = (name: string): Candidate => ({
    rungs: candidateOf(name, "large").rungs.map((trials) =>
      trials.map((trial) => ({
        ...trial,
        options: { mode: "lora", epochs: 3 * trial.options.epochs } as TrainOptions,
      })),
    ),
  });
  const all = [dear("c0"), dear("c1"), dear("c2"), candidateOf("c3"), candidateOf("c4")];
  assert.is(await stub(all).train(100), "c3-0 c0-0 c1-0 c2-0 c4-0 c2-1 c1-1 c2-2");
  // A fourth of the large model does not fit; the small one is not tried in its place, as it comes after it.
  assert.is(await stub(all).train(16), "c3-0 c0-0 c1-0 c1-1");
});

test("a model whose first trial would not fit at the pace of another one is not tried before what fits", async () => {
  const large: Candidate = {
    rungs: COSTS.map((cost, rung) => [
      { ...trialOf("c0", rung, "large"), options: { mode: "lora", epochs: 50 * cost } as TrainOptions },
    ]),
  };
  const all = [large, candidateOf("c1"), candidateOf("c2"), candidateOf("c3")];
  assert.is(await stub(all).train(40), "c1-0 c2-0 c3-0 c2-1 c2-2");
  assert.is(await stub(all).train(60), "c1-0 c0-0 c2-0 c3-0 c2-1 c1-1");
});

test("candidates: every rate by itself, rungs with other epochs alone, all seeds in the last one", async () => {
  const epochs = async (base: object) =>
    (await listCandidates({ base, arms: [{ mode: "lora", lr: { choose: [1e-3, 1e-4] } }] }, 2, () => ({}), costOf)).map(
      ({ rungs }) => rungs.map((trials) => trials.map(({ options }) => `${options.epochs}/${options.seed}`).join()),
    );
  assert.equal(await epochs({ epochs: 9 }), [
    ["1/1", "3/1", "9/1,9/2"],
    ["1/1", "3/1", "9/1,9/2"],
  ]);
  assert.equal((await epochs({ epochs: 3 }))[0], ["1/1", "3/1,3/2"]);
  assert.equal((await epochs({ epochs: 1 }))[0], ["1/1,1/2"]);
  // Where most of the time is no training, fewer epochs save little.
  const dear = await listCandidates(
    { base: { epochs: 9 }, arms: [{ mode: "lora", lr: [1e-3, 1e-4] }] },
    1,
    () => ({}),
    (trial) => 4 + costOf(trial),
  );
  assert.equal(
    dear[0]!.rungs.map(([trial]) => trial!.options.epochs),
    [1, 9],
  );
  // One alone has nothing to be chosen from.
  const [alone] = await listCandidates({ base: { epochs: 9 }, arms: [{ mode: "lora" }] }, 1, () => ({}), costOf);
  assert.equal(
    alone!.rungs.map(([trial]) => trial!.options.epochs),
    [9],
  );
});

test("what a start takes is told from trials of several costs; the first estimate, of one trial, is too long", async () => {
  const pace = new Pace();
  assert.is(pace.estimate("m", 1), undefined);
  pace.measure("m", 1, 11);
  assert.is(pace.estimate("m", 9), 99);
  const all = [1, 1, 1, 3, 3, 9].map((cost) => [cost, 10 + cost] as const);
  for (const one of all) pace.measure("m", ...one);
  const estimate = pace.estimate("m", 9)!;
  assert.ok(estimate > 17 && estimate < 22, `${estimate} s of 19`);
  // Of equal costs it is not told: all is work.
  const equal = new Pace();
  for (let i = 0; i < 20; i++) equal.measure("m", 1, 2);
  assert.ok(Math.abs(equal.estimate("m", 3)! - 6) < 0.5);
  assert.equal([pace.has("m"), pace.has("other")], [true, false]);
  assert.is(pace.estimate("other", 9), estimate, "at the pace of another model");
  // With every start as long as a trial to the end, more is tried as soon as that is known.
  const done = (await stub(candidates(9), { start: 9 }).train(160)).split(" ");
  assert.ok(done.filter((name) => name.endsWith("-0")).length >= 7, done.join(" "));
});
