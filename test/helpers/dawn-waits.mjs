/**
 * Loaded before every test and the commands that it runs (`node --import`). Dawn waits for a GPU with `setImmediate`,
 * over and over, which keeps a core busy that a software driver needs to compute. Here it looks once a millisecond.
 */
const { setImmediate, setTimeout } = globalThis;

/** Dawn's callback is a native function with a prototype; the functions of a promise are native and have none. */
const isDawns = (callback) =>
  "prototype" in callback && Function.prototype.toString.call(callback).endsWith("{ [native code] }");

globalThis.setImmediate = (callback, ...args) =>
  isDawns(callback) ? setTimeout(callback, 1) : setImmediate(callback, ...args);
