/**
 * What belongs to this build: files and workers of another one are refused. A page may be older than what its server
 * has by now, and a program than the folder that it runs from; operations, records and tables would not fit.
 */
import { FormatError } from "../core/errors.ts";

/** Set by the build (`buildConstants` in src/tools/bundles.mjs): a hash of all that it is made of, and of each file. */
declare const BUILD: string;
declare const FILES: readonly number[];

/** The content of a file of `dist/`. Throws FormatError for that of another build. */
export function checkFile<T extends Uint8Array>(name: string, bytes: T): T {
  // As the build computes it.
  const hash = bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, bytes.length);
  if (!FILES.includes(hash)) throw otherBuild(name);
  return bytes;
}

/** The first message of a worker. */
export const FIRST_MESSAGE: unknown = BUILD;

/** Takes the messages of a worker behind the first one. A worker of another build is an error. */
export function takeOwn(onMessage: (message: unknown) => void, onError: (error: Error) => void) {
  let isOwn = false;
  return (message: unknown) => {
    if (isOwn) onMessage(message);
    else if (message === BUILD) isOwn = true;
    else onError(otherBuild("the worker"));
  };
}

const otherBuild = (name: string) =>
  new FormatError("versions-differ", `${name} is of another build: reload the page or restart`);
