/**
 * The part of NumPy's RandomState that pandas uses to shuffle and to sample: the Mersenne Twister (Matsumoto and
 * Nishimura,
 * 1998) seeded by one number, and bounded integers by masked rejection. The published experiment sampled its rows with
 *       it.
 */
const N = 624;
const M = 397;

export class RandomState {
  private readonly words = new Uint32Array(N);
  private at = N;

  /** Same as `numpy.random.RandomState(seed)`: `seed` is a whole number from 0 to 2^32 - 1. */
  constructor(seed: number) {
    const { words } = this;
    words[0] = seed;
    for (let i = 1; i < N; i++) {
      const before = words[i - 1]!;
      words[i] = Math.imul(before ^ (before >>> 30), 1812433253) + i;
    }
  }

  /** 32 random bits. */
  next(): number {
    if (this.at === N) this.refill();
    let x = this.words[this.at++]!;
    x ^= x >>> 11;
    x ^= (x << 7) & 0x9d2c5680;
    x ^= (x << 15) & 0xefc60000;
    return (x ^ (x >>> 18)) >>> 0;
  }

  /** Uniform in [0, limit], as in NumPy's shuffle: draws are masked to the bits of `limit`, rejected if above it. */
  upTo(limit: number): number {
    if (limit === 0) return 0;
    const mask = 0xffffffff >>> Math.clz32(limit);
    let x = (this.next() & mask) >>> 0;
    while (x > limit) x = (this.next() & mask) >>> 0;
    return x;
  }

  /** The numbers 0 to n - 1 in the order of NumPy's `permutation(n)`, which pandas' `sample(frac=1)` uses. */
  permutation(n: number): Uint32Array<ArrayBuffer> {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.upTo(i);
      const swap = order[i]!;
      order[i] = order[j]!;
      order[j] = swap;
    }
    return order;
  }

  /** `size` distinct numbers from 0 to n - 1, as pandas' `sample(size)` draws them. */
  sample(n: number, size: number): Uint32Array<ArrayBuffer> {
    return this.permutation(n).slice(0, size);
  }

  private refill(): void {
    const { words } = this;
    for (let i = 0; i < N; i++) {
      const y = (words[i]! & 0x80000000) | (words[(i + 1) % N]! & 0x7fffffff);
      words[i] = words[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.at = 0;
  }
}
