import { ConfigError } from "../errors.ts";

/** The error of a program that is no page, and has the build for pages. */
export const noPage = (): ConfigError =>
  new ConfigError("wrong-platform", "this is the build of lowrank for pages", {
    expected: "a page or a web worker",
    found: globalThis.navigator?.userAgent ?? "a program without a page's address",
    hint: 'import "lowrank", not "lowrank/browser"; a bundler for Node needs the condition "node"',
  });
