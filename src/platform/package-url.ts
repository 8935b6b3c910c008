/** Where the package's files are, if the program has said so. */
import { checkArguments } from "../core/checks.ts";

let said: string | undefined;

/**
 * Says where the package's folders `dist` and `data` are, for a program that has them apart from its code: a page whose
 * code is on another server, or a bundled program in Node, there also by a path. All files and workers that are loaded
 * from then on come from there. In a worker of your own, call it there.
 *
 * @example
 * ```ts
 * import { setPackageUrl } from "lowrank";
 *
 * setPackageUrl("/lowrank/"); // has dist/ and data/
 * ```
 */
export function setPackageUrl(url: string): void {
  checkArguments({ url }, { url: "text" });
  said = typeof location === "undefined" ? url : new URL(url.replace(/\/*$/, "/"), location.href).href;
}

/** In a page an address that ends in "/"; in Node a path or a URL. Undefined: the program has not said it. */
export const packageUrl = (): string | undefined => said;
