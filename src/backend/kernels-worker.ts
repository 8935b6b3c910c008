/** A thread of the CPU that runs the host's lists. */
import { listenToHost } from "#platform";
import { Thread } from "./wasm-memory.ts";
import type { Calls, FromWorker, ToWorker } from "./wasm-threads.ts";

let thread: Thread;

const start: Calls["start"] = async (module, shared) => {
  thread = await Thread.open(module, shared);
  return thread.scratchBytes;
};

const post = listenToHost(async (data) => {
  const { call, name, args } = data as ToWorker;
  try {
    const work = name === "start" ? start : thread[name].bind(thread);
    const value = await (work as (...args: unknown[]) => unknown)(...args);
    if (call !== null) post({ call, value } satisfies FromWorker);
  } catch (error) {
    post({ failure: String(error) } satisfies FromWorker);
  }
});
