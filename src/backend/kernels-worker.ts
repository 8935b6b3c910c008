/** A thread of the CPU backend: an instance of kernels.wasm that runs the host's lists. */
import { listenToHost } from "#platform";
import { type FromWorker, instantiate, type KernelExports, replay, type ToWorker } from "./wasm-kernels.ts";

let kernels: KernelExports;
let scratch = 0;

const post = listenToHost(async (data) => {
  const message = data as ToWorker;
  try {
    if (message.type === "start") {
      ({ scratch } = message);
      kernels = await instantiate(message.module, message.memory);
      kernels.configure(0, 1, scratch, 0, 0);
      post({ type: "ready" } satisfies FromWorker);
      return;
    }
    const { run, index, threads, barrierState, passed, list, count, timed } = message;
    kernels.configure(index, threads, scratch, barrierState, passed);
    const times = replay(kernels, list, count, timed);
    // When one thread has passed this, all are done, and were in step.
    kernels.barrier();
    if (index === 0) post({ type: "done", run, times } satisfies FromWorker);
  } catch (error) {
    post({ type: "failed", message: String(error) } satisfies FromWorker);
  }
});
