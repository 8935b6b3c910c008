/** Waits that end: how long a server may take, and how slow it may be. */

/** Fewer bytes than this, in the time that a server is given, are no progress. */
export const LEAST_BYTES = 8 << 10;

/** The result of `work`. Throws what `late` gives if it takes longer than `ms` milliseconds. */
export async function within<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The pieces of a body, each LEAST_BYTES of which must come within `patience` milliseconds; the time that the caller takes does not
 * count. Throws what `slow` gives for the bytes that came, and whatever breaks the body. May be left early.
 */
export async function* paced(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  patience: number,
  slow: (bytes: number) => Error,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = body?.getReader();
  let [left, bytes] = [patience, 0];
  try {
    while (reader) {
      const asked = performance.now();
      const { done, value } = await within(reader.read(), left, () => slow(bytes));
      if (done) return;
      left -= performance.now() - asked;
      bytes += value.length;
      if (bytes >= LEAST_BYTES) [left, bytes] = [patience, 0];
      else if (left <= 0) throw slow(bytes);
      yield value;
    }
  } finally {
    reader?.cancel().catch(() => {});
  }
}
