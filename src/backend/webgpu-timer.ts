/** GPU time of single dispatches by timestamp queries: each dispatch gets a compute pass of its own. */
import type { Program } from "../plan/plan.ts";

/** The specification's limit of queries in a set. */
const MOST_QUERIES = 4096;
/** Dispatches of a submission that are timed. */
export const MOST_TIMED = MOST_QUERIES / 2;

const QUERY_RESOLVE = 0x200;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

/** The timer of one submission; use it once. */
export class DispatchTimer {
  private readonly set: GPUQuerySet;
  private readonly labels: string[] = [];

  constructor(
    private readonly device: GPUDevice,
    { segments }: Pick<Program, "segments">,
  ) {
    const count = segments.reduce((sum, { dispatches }) => sum + dispatches.length, 0);
    this.set = device.createQuerySet({ type: "timestamp", count: Math.min(MOST_QUERIES, 2 * Math.max(1, count)) });
  }

  /** The pass of the next dispatch. Dispatches beyond the largest query set are not timed. */
  pass(encoder: GPUCommandEncoder, label: string): GPUComputePassEncoder {
    const index = 2 * this.labels.length;
    if (index + 2 > this.set.count) return encoder.beginComputePass();
    this.labels.push(label);
    return encoder.beginComputePass({
      timestampWrites: { querySet: this.set, beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 },
    });
  }

  /** Submits the encoder's commands and adds the milliseconds of its dispatches to `times`, by label. */
  async submit(
    encoder: GPUCommandEncoder,
    times: Map<string, number>,
    backend: { wait<T>(answer: Promise<T>): Promise<T> },
  ): Promise<void> {
    const { device, labels, set } = this;
    const size = 16 * Math.max(1, labels.length);
    const resolved = device.createBuffer({ label: "timestamps", size, usage: QUERY_RESOLVE | COPY_SRC });
    const readable = device.createBuffer({ label: "timestamps", size, usage: MAP_READ | COPY_DST });
    if (labels.length > 0) encoder.resolveQuerySet(set, 0, 2 * labels.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readable, 0, size);
    device.queue.submit([encoder.finish()]);
    await backend.wait(readable.mapAsync(MAP_READ));
    const stamps = new BigUint64Array(readable.getMappedRange().slice(0));
    for (const [i, label] of labels.entries()) {
      const nanoseconds = Number(stamps[2 * i + 1]! - stamps[2 * i]!);
      times.set(label, (times.get(label) ?? 0) + nanoseconds / 1e6);
    }
    for (const resource of [resolved, readable, set]) resource.destroy();
  }
}
