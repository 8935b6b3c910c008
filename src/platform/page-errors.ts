/** Errors of a page that was not put together right; loaded when there is one. */
import { ConfigError, type DownloadError } from "../errors.ts";

/** The error of a program that is no page, and has the build for pages. */
export const noPage = (): ConfigError =>
  new ConfigError("wrong-platform", "this is the build of lowrank for pages", {
    expected: "a page or a web worker",
    found: globalThis.navigator?.userAgent ?? "a program without a page's address",
    hint: 'import "lowrank", not "lowrank/browser"; a bundler for Node needs the condition "node"',
  });

/** The error of a file of the package that is not where the page looks for it. */
export const noPackageFile = (where: string, cause: DownloadError): ConfigError =>
  new ConfigError("missing-package-file", "a file of the package was not found", {
    where,
    found: cause.details.found!,
    hint: "copy the package's folders unchanged; another origin must allow this one (CORS); Vite before 8 needs optimizeDeps: { exclude: ['lowrank'] }",
    cause,
  });
