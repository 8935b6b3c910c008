/**
 * Loaded before a command, by `--import` or in its process: a graphics card that fails. A software driver computes for
 * it. The query of this module's address says how it fails (`fault`: silent, throwing, lost or lying) and when: at the
 * `count`-th use of `at`, a part of it (pipeline, scope, buffer, write, submit, done, or "read" with a buffer's name).
 * Without a fault it works. `cache`: the cache directory. `seconds`: how many go by in one.
 */
import { create } from "webgpu";

const query = new URL(import.meta.url).searchParams;
const { fault, at, count = "1", cache, features = "timestamp-query", seconds = 1 } = Object.fromEntries(query);
process.env.LOWRANK_CACHE = cache;
const { setInterval } = globalThis;
globalThis.setInterval = (tick, ms) => setInterval(tick, ms / seconds);

let uses = 0;
let isFailing = false;
let lose = () => {};
const never = new Promise(() => {});

/** What the card does at a use of its parts, once it has failed; undefined: it works. */
function use(part) {
  isFailing ||= part === at && ++uses === Number(count) && fault !== undefined;
  if (isFailing && fault === "lost") lose();
  return isFailing ? fault : undefined;
}

/** A method that returns a promise. */
const answering = (part, method) =>
  function (...args) {
    const failure = use(part(this, ...args));
    if (failure === "silent") return never;
    if (failure === "throwing") return Promise.reject(new Error("planted"));
    return method.apply(this, args);
  };

const throwing = (part, method) =>
  function (...args) {
    if (use(part) === "throwing") throw new Error("planted");
    return method.apply(this, args);
  };

function replace(object, methods) {
  for (const [name, change] of Object.entries(methods)) {
    const method = object[name].bind(object);
    Object.defineProperty(object, name, { value: change(method) });
  }
  return object;
}

/** Other numbers than those that were computed. */
const lie = (bytes) => new Float32Array(bytes.byteLength / 4).fill(Number.NaN).buffer;

const plantBuffer = (buffer) =>
  replace(buffer, {
    mapAsync: (method) => answering(() => `read ${buffer.label}`, method),
    getMappedRange:
      (method) =>
      (...args) =>
        isFailing && fault === "lying" ? lie(method(...args)) : method(...args),
  });

function plantDevice(device) {
  lose = () => device.destroy();
  replace(device, {
    createBuffer: (method) => throwing("buffer", (...args) => plantBuffer(method(...args))),
    createComputePipelineAsync: (method) => answering(() => "pipeline", method),
    popErrorScope: (method) => answering(() => "scope", method),
  });
  const queue = replace(device.queue, {
    submit: (method) => throwing("submit", method),
    writeBuffer: (method) => throwing("write", method),
    onSubmittedWorkDone: (method) => answering(() => "done", method),
  });
  return Object.defineProperty(device, "queue", { value: queue });
}

const gpu = create([]);
const requestAdapter = gpu.requestAdapter.bind(gpu);
Object.defineProperty(gpu, "requestAdapter", {
  value: async (options) => {
    const adapter = await requestAdapter(options);
    Object.defineProperty(adapter, "info", {
      value: { vendor: "", architecture: "", device: "", description: "a planted card" },
    });
    Object.defineProperty(adapter, "features", { value: new Set(features.split(",").filter(Boolean)) });
    return replace(adapter, {
      requestDevice:
        (method) =>
        async (...args) =>
          plantDevice(await method(...args)),
    });
  },
});
Object.defineProperty(globalThis, "navigator", { value: { gpu, userAgent: "planted" }, configurable: true });
