/** Attention over one sequence in the heads of gpt2-small, each of its kernels. */
import type { Backend } from "../backend/backend.ts";
import { attentionBackward, attentionForward } from "../ops/attention.ts";
import { type Dispatch, NO_VALUES } from "../ops/kernel.ts";
import { Rng } from "../rng.ts";
import { Tensor } from "../tensor.ts";
import { type Rate, rateSpread } from "./products.ts";
import { prepareDispatch, stopwatch } from "./timing.ts";

const [HEADS, HEAD_SIZE] = [12, 64];
const WIDTH = HEADS * HEAD_SIZE;

export interface AttentionRate {
  kernel: string;
  /** Tokens of the sequence. */
  tokens: number;
  gflops: Rate;
}

/**
 * Products of half a matrix [T, T] with a head: scores and sums; scores, their gradient, q's; the same, with k's and
 * v's.
 */
const PRODUCTS = [2, 3, 4];

/** GFLOP/s of the three kernels; the half of the scores that is masked does not count. */
export async function measureAttention(device: Backend, tokens: number, rounds: number): Promise<AttentionRate[]> {
  const make = (name: string, width: number) => new Tensor(name, [tokens, width], "output");
  const [qkv, dqkv, out, dout] = [
    make("qkv", 3 * WIDTH),
    make("dqkv", 3 * WIDTH),
    make("out", WIDTH),
    make("dout", WIDTH),
  ];
  const [lse, delta] = [make("lse", HEADS), make("delta", HEADS)];
  const bounds = new Tensor("bounds", [tokens, 2], "input", "u32");
  const heads = { count: HEADS, kvCount: HEADS, scale: 1 / Math.sqrt(HEAD_SIZE) };
  const work: [Dispatch, Tensor][] = [
    [attentionForward(out, lse, qkv, bounds, heads), out],
    ...attentionBackward(dqkv, delta, dout, out, lse, qkv, bounds, heads).map((one): [Dispatch, Tensor] => [one, dqkv]),
  ];
  const rates: AttentionRate[] = [];
  for (const [i, [dispatch, result]] of work.entries()) {
    const prepared = { ...(await prepareDispatch(device, dispatch, result, 1)), values: { ...NO_VALUES, tokens } };
    const rng = new Rng(1);
    for (const tensor of dispatch.tensors)
      if (tensor === bounds)
        prepared.session.write(
          bounds,
          Uint32Array.from({ length: 2 * tokens }, (_, j) => (j % 2) * tokens),
        );
      else
        prepared.session.write(
          tensor,
          Float32Array.from({ length: tensor.size }, () => rng.normal()),
        );
    const { clock, measure } = await stopwatch(device, prepared);
    const flops = PRODUCTS[i]! * tokens ** 2 * WIDTH;
    const values: number[] = [];
    for (let round = 0; round < rounds; round++) values.push(flops / (await measure()) / 1e6);
    prepared.session.destroy();
    rates.push({ kernel: dispatch.kernel.name, tokens, gflops: { ...rateSpread(values), clock } });
  }
  return rates;
}
