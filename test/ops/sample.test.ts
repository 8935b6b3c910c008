/** The choice of tokens: against definitions on a sorted list, draw by draw, and as a distribution. */
import * as assert from "uvu/assert";
import { Rng } from "../../src/core/rng.ts";
import { type Draw, drawTables, encodeDraws, NOT_FINITE, sample } from "../../src/ops/sample.ts";
import { threefry } from "../helpers/dropout.ts";
import { EXACT, OpCase, pairs, testOp } from "../helpers/op-case.ts";

type How = Pick<Draw, "temperature" | "top_k" | "top_p" | "penalty">;
const GREEDY: How = { temperature: 0, top_k: 0, top_p: 1, penalty: 1 };

/** What a row chooses from, and how. */
interface Row {
  logits: Float32Array;
  how: How;
  /** Tokens of its sequence. */
  seen?: readonly number[];
  number?: number;
  seed?: number;
  stream?: number;
}

/** The weight of every id, up to a common factor: each processor of transformers, on a sorted list. */
function weights({ logits, how: { temperature, top_k, top_p, penalty }, seen = [] }: Row): Float64Array {
  const f32 = Math.fround;
  const penalized = [...logits].map((logit, id) => {
    if (!seen.includes(id)) return { id, logit };
    return { id, logit: f32(logit < 0 ? logit * f32(penalty) : logit / f32(penalty)) };
  });
  // Of equals the first.
  let kept = penalized.sort((a, b) => b.logit - a.logit || a.id - b.id);
  const top = kept[0]!;
  if (temperature > 0) {
    if (top_k > 0) kept = kept.filter(({ logit }) => logit >= kept[Math.min(top_k, kept.length) - 1]!.logit);
  } else kept = [top];
  const result = new Float64Array(logits.length);
  const weigh = ({ logit }: { logit: number }) => (temperature > 0 ? Math.exp((logit - top.logit) / temperature) : 1);
  const total = kept.reduce((sum, one) => sum + weigh(one), 0);
  let sum = 0;
  for (const one of kept) {
    if (top_p < 1 && sum >= top_p * total) break;
    result[one.id] = weigh(one);
    sum += result[one.id]!;
  }
  return result;
}

/** Relative to the sum of the weights: how near to another token's a draw may be for f32 to tell them apart. */
const MARGIN = 1e-5;

/**
 * The drawn id: tokens lie in the order of their ids, those with the smallest weight behind the others where top-p cut
 * among equals; null where rounding decides.
 */
function drawn(row: Row): number | null {
  const all = weights(row);
  const total = all.reduce((sum, weight) => sum + weight, 0);
  const [bits] = threefry([row.seed ?? 7, row.stream ?? 0], [row.number ?? 0, 0]);
  const uniform = Math.floor(bits / 256) / 2 ** 24;
  const least = row.how.top_p < 1 && row.how.temperature > 0 ? Math.min(...all.filter((weight) => weight > 0)) : 0;
  const order = [...all.keys()]
    .filter((id) => all[id]! > 0)
    .sort((a, b) => {
      return Number(all[a] === least) - Number(all[b] === least) || a - b;
    });
  let left = uniform * total;
  for (const id of order) {
    if (Math.abs(left) < MARGIN * total && uniform > 0 && id !== order[0]) return null;
    if (left < all[id]!) return all[id]! - left < MARGIN * total ? null : id;
    left -= all[id]!;
  }
  return null;
}

/** Chooses for rows of the same width; the slots of their sequences are reversed, and so is where their ids go. */
function choose(c: OpCase, rows: readonly Row[], { choices = rows[0]!.logits.length, step = 0 } = {}) {
  const room = rows.length + 1;
  const V = rows[0]!.logits.length;
  const words = Math.ceil(V / 32);
  const bits = new Uint32Array(room * words);
  const slot = (i: number) => rows.length - i;
  rows.forEach(({ seen = [] }, i) => {
    for (const id of seen) bits[slot(i) * words + (id >> 5)]! |= 1 << (id & 31);
  });
  const entries = rows.map(
    ({ how, number = 0, seed = 7, stream = 0 }, i): Draw => ({
      ...how,
      ...{ slot: slot(i), to: rows.length - 1 - i, seed, stream, number, choices },
    }),
  );
  const draws = new Uint32Array(drawTables(room) * 64 * 12);
  draws.set(encodeDraws(entries));
  const logits = new Float32Array(room * V).fill(Number.NaN);
  for (const [i, row] of rows.entries()) logits.set(row.logits, i * V);
  const tensors = {
    ids: c.of("ids", [room], new Uint32Array(room).fill(9)),
    drawn: c.of("drawn", [step + 2, room], new Uint32Array((step + 2) * room).fill(9)),
    seen: c.of("seen", [room, words], bits.slice()),
    logits: c.of("logits", [room, V], logits),
    draws: c.of("draws", [drawTables(room), 64, 12], draws),
  };
  c.run(...sample(tensors));
  return { ...tensors, bits, slot };
}

/** What each device chooses. */
async function chosen(rows: readonly Row[], options = {}): Promise<[device: string, ids: number[]][]> {
  const c = new OpCase(1);
  const { ids } = choose(c, rows, options);
  return Promise.all(
    c.devices().map(async (device): Promise<[string, number[]]> => {
      const [found] = await c.results({ slots: rows.length, slot: 0 }, [ids], device);
      return [device, [...new Uint32Array(found!.buffer).subarray(0, rows.length)].reverse()];
    }),
  );
}

function normals(V: number, seed: number, scale = 2): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: V }, () => rng.normal() * scale);
}

const WAYS: readonly (readonly [string, Partial<How>])[] = [
  ["greedy", {}],
  ["greedy with a penalty", { penalty: 1.3 }],
  ["all", { temperature: 1 }],
  ["cold", { temperature: 0.3 }],
  ["hot", { temperature: 1e9 }],
  ["top-k 1", { temperature: 1, top_k: 1 }],
  ["top-k 5", { temperature: 1.7, top_k: 5 }],
  ["top-k, hot", { temperature: 1e9, top_k: 5 }],
  ["top-k of all and more", { temperature: 1, top_k: 100_000 }],
  ["top-p .5", { temperature: 1, top_p: 0.5 }],
  ["top-p .95", { temperature: 1, top_p: 0.95 }],
  ["top-p tiny", { temperature: 1, top_p: 1e-6 }],
  ["all of them", { temperature: 0.8, top_k: 30, top_p: 0.7, penalty: 1.4 }],
  ["a penalty below 1", { temperature: 1, penalty: 0.8 }],
];

for (const V of [1030, 1, 3, 31, 97, 256, 50_257])
  testOp(`rows of ${V} choose what the definition does`, async () => {
    // In one dispatch, each with other settings; more than one table of them where rows are short.
    const many = V < 1000 ? 6 : V < 50_000 ? 2 : 1;
    const rows = WAYS.flatMap(([, change], i) =>
      Array.from({ length: many }, (_, number): Row => {
        const seen = [0, 3, 50, 91].filter((id) => id < V);
        return { logits: normals(V, 10 * i + number), how: { ...GREEDY, ...change }, seen, number, stream: i };
      }),
    );
    const wanted = rows.map(drawn);
    const sure = wanted.filter((id) => id !== null).length;
    assert.ok(sure >= 0.85 * rows.length, `${sure} of ${rows.length} are told apart`);
    for (const [device, found] of await chosen(rows))
      for (const [i, id] of wanted.entries())
        if (id !== null) assert.is(found[i], id, `${WAYS[Math.floor(i / many)]![0]}, number ${i % many}, ${device}`);
  });

const words = (numbers: readonly number[]) => new Float32Array(Uint32Array.from(numbers).buffer);

for (const [S, penalty] of pairs(1, 2, 3, 1, 16, 2, 70, 2))
  testOp(`${S} ids are seen from then on where there is a penalty; ids and rows of other steps stay`, (c) => {
    const rows = Array.from({ length: S }, (_, i): Row => ({ logits: normals(45, i), how: { ...GREEDY, penalty } }));
    const { ids, drawn: all, seen, bits, slot } = choose(c, rows, { step: 2 });
    const expected = rows.map((row) => drawn(row)!).reverse();
    c.after(ids, words(expected), EXACT);
    const nines = new Array(2 * (S + 1)).fill(9);
    c.after(all, words([...nines, ...expected, 9, ...new Array(S + 1).fill(9)]), EXACT);
    for (const [i, row] of penalty === 1 ? [] : rows.entries()) {
      const id = drawn(row)!;
      bits[2 * slot(i) + (id >> 5)]! |= 1 << (id & 31);
    }
    c.after(seen, new Float32Array(bits.buffer), EXACT);
    return { slots: S, slot: 2 };
  });

testOp(
  "of equals the first wins, the last of the top k brings its equals, and top-p keeps the first of them",
  async () => {
    const tied = Float32Array.of(1, 2, 2, 2, 0, -Infinity);
    const at = (how: Partial<How>, logits = tied, count = 60) =>
      Array.from({ length: count }, (_, number): Row => ({ logits, how: { ...GREEDY, ...how }, number }));
    const cases = [
      [at({}), [1]],
      [at({}, Float32Array.of(-0, 0, -1)), [0]],
      [at({}, Float32Array.of(-5, -3, -4)), [1]],
      [at({ temperature: 1, top_k: 2 }), [1, 2, 3]],
      [at({ temperature: 1, top_k: 4 }), [0, 1, 2, 3]],
      // The three are 3 / (3 + 1 / e + 1 / e^2) = 0.856 of all.
      [at({ temperature: 1, top_p: 0.5 }), [1, 2]],
      [at({ temperature: 1, top_p: 0.2 }), [1]],
      [at({ temperature: 1, top_p: 0.8 }), [1, 2, 3]],
      [at({ temperature: 1, top_p: 0.9 }), [0, 1, 2, 3]],
      [at({ temperature: 100 }), [0, 1, 2, 3, 4]],
      [at({ temperature: 1, top_p: 0.5 }, new Float32Array(8)), [0, 1, 2, 3]],
      [at({ temperature: 1 }, new Float32Array(1)), [0]],
    ] as const;
    for (const [rows, expected] of cases)
      for (const [device, found] of await chosen(rows))
        assert.equal([...new Set(found)].sort(), expected, `${JSON.stringify(rows[0]!.how)} on ${device}`);
  },
);

testOp("ids behind the choices are never chosen, whatever their logits", async () => {
  const logits = Float32Array.of(1, 0, 2, 9, Number.NaN);
  const rows = [GREEDY, { ...GREEDY, temperature: 1 }].map((how): Row => ({ logits, how, number: 4 }));
  for (const [device, [greedy, one]] of await chosen(rows, { choices: 3 })) {
    assert.is(greedy, 2, device);
    assert.ok(one! < 3, `${one} on ${device}`);
  }
});

testOp("a logit that is not finite and would win is told, with its id", async () => {
  const cases = [
    [[Number.NaN, 1], 0],
    [[1, Number.NaN, 2], 1],
    [[1, Infinity], 1],
    [[-Infinity, -Infinity], 0],
  ] as const;
  for (const [logits, id] of cases)
    for (const how of [GREEDY, { ...GREEDY, temperature: 1, top_k: 1, top_p: 0.5, penalty: 1.1 }])
      for (const [device, found] of await chosen([{ logits: Float32Array.from(logits), how }]))
        assert.equal(found, [NOT_FINITE + id], `${logits} on ${device}`);
});

testOp("the same seed, stream and number draw the same, others something else", async () => {
  const logits = normals(97, 6);
  const how = { ...GREEDY, temperature: 1 };
  const draw = async (change: Partial<Row>) => {
    const rows = Array.from({ length: 30 }, (_, number): Row => ({ logits, how, number, ...change }));
    return (await chosen(rows))[0]![1];
  };
  const one = await draw({});
  assert.equal(await draw({}), one);
  assert.is(new Set(await draw({ number: 1 })).size, 1);
  for (const change of [{ seed: 8 }, { stream: 1 }]) assert.not.equal(await draw(change), one);
});
