/** A thread of the CPU backend: an instance of kernels.wasm that runs the host's lists. */
import { listenToHost } from "#platform";
import { type FromWorker, instantiate, type KernelExports, replay, type ToWorker } from "./wasm-kernels.ts";

let kernels: KernelExports;
let index = 0;

const post = listenToHost(async (data) => {
  const message = data as ToWorker;
  try {
    if (message.type === "start") {
      index = message.index;
      kernels = await instantiate(message.module, message.memory);
      kernels.configure(index, message.threads, message.scratch, message.barrierState);
      post({ type: "ready" } satisfies FromWorker);
      return;
    }
    const times = replay(kernels, message.list, message.count, message.timed);
    // The list ends with a barrier: when one thread is done, all are.
    if (index === 0) post({ type: "done", times } satisfies FromWorker);
  } catch (error) {
    post({ type: "failed", message: String(error) } satisfies FromWorker);
  }
});
