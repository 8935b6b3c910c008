/// <reference lib="esnext.disposable" preserve="true" />
/** `await using`, also where the runtime does not have its symbol. */

/** The key under which compiled code looks for the method where `Symbol.asyncDispose` is missing, as in Safari. */
export const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
