/** Waits for a device in a page. */

/** The longest pause between two submissions. */
const MOST_MS = 16;

/**
 * Submits nothing, again and again, until a promise of the device is settled: Firefox asks its device only every 100 ms
 * whether work is done, and whenever something is submitted (Mozilla 1870699). The first pause is short, as most waits
 * are.
 */
export async function nudgeUntil(queue: Pick<GPUQueue, "submit">, promise: Promise<unknown>): Promise<void> {
  let isSettled = false;
  const settle = () => {
    isSettled = true;
  };
  promise.then(settle, settle);
  for (let ms = 1; ; ms = Math.min(2 * ms, MOST_MS)) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (isSettled) return;
    queue.submit([]);
  }
}
