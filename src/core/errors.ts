import type { ErrorCode, ErrorCodes } from "./error-codes.ts";
import { printable } from "./printable.ts";
import { plain } from "./setting.ts";

/** The details of an error: what was expected, what was found, where, and a hint. */
export interface ErrorDetails {
  expected?: string | undefined;
  found?: string | undefined;
  where?: string | undefined;
  hint?: string | undefined;
  /** With the code "not-utf8": the encoding that the file may have. */
  encoding?: string;
  /** Of a file in which a column was not found, or several may be meant. */
  columns?: readonly string[];
  /** Of a workbook in which several sheets may be meant. */
  sheets?: readonly string[];
  /** Whether something else may be meant as well as what the hint names. */
  isGuess?: boolean;
  cause?: unknown;
}

/** Maximum characters of one part of a message, which may quote the contents of a file. */
const LONGEST_PART = 480;

/** An error's parts, with settings as data: see setting.ts. */
interface Parts {
  summary: string;
  details: ErrorDetails;
}
const GIVEN = new WeakMap<LowrankError, Parts>();

/** The columns before the details of a message. */
const MARGIN = " ".repeat(12);

/**
 * A part of a message: made printable first, because escapes lengthen it, then shortened in the middle. Its further
 * lines are indented: none can pass for another part of the message.
 */
function brief(text: string): string {
  const whole = printable(text).replaceAll(/\n/g, `\n${MARGIN}`);
  const half = LONGEST_PART / 2;
  const left = whole.length - LONGEST_PART;
  return left <= 0 ? whole : `${whole.slice(0, half)} [${left} characters left out] ${whole.slice(-half)}`;
}

/**
 * Base class of all errors that Lowrank throws intentionally. Programs compare `code`; the message is written for the
 * user, has at most about 2 kB, and its words may change.
 *
 * @example
 * ```ts
 * import { LowrankError } from "lowrank";
 * import { loadDataset } from "lowrank/data";
 *
 * try {
 *   await loadDataset({ file: "messages.csv" });
 * } catch (error) {
 *   if (!(error instanceof LowrankError)) throw error;
 *   console.error(error.code); // "row-without-label"
 *   console.error(error.message); // what was expected, what was found, where, and a hint
 *   console.error(error.details.where); // "messages.csv:17"
 * }
 * ```
 */
export class LowrankError extends Error {
  // A literal, because minified bundles shorten class names.
  override name = "LowrankError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, summary: string, details: ErrorDetails = {}) {
    const [message, said] = sayError(summary, details, plain);
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.details = said;
    GIVEN.set(this, { summary, details });
  }
}

/** The message of an error and its details, in some words. */
export function sayError(
  summary: string,
  details: ErrorDetails,
  say: (text: string) => string,
): [message: string, details: ErrorDetails] {
  const said = { ...details };
  let message = brief(say(summary));
  for (const part of ["where", "expected", "found", "hint"] as const)
    if (details[part] !== undefined) {
      said[part] = say(details[part]);
      message += `\n${`  ${part}:`.padEnd(12)}${brief(said[part])}`;
    }
  return [message, said];
}

/** An error's text, with settings as data. */
export const errorParts = (error: LowrankError): Parts => GIVEN.get(error)!;

/** LowrankError, as a class whose errors have only these codes. */
type WithCodes<Code extends ErrorCode> = Omit<typeof LowrankError, "prototype"> &
  (new (
    code: Code,
    summary: string,
    details?: ErrorDetails,
  ) => LowrankError & { readonly code: Code });

/** Tensor shapes do not match. */
export class ShapeError extends (LowrankError as WithCodes<ErrorCodes["ShapeError"]>) {
  override name = "ShapeError";
}
/** A file does not conform to its format. */
export class FormatError extends (LowrankError as WithCodes<ErrorCodes["FormatError"]>) {
  override name = "FormatError";
}
/** No device is available, the device was lost, or its memory is too small. */
export class DeviceError extends (LowrankError as WithCodes<ErrorCodes["DeviceError"]>) {
  override name = "DeviceError";
}
/** A setting, flag or argument is invalid. */
export class ConfigError extends (LowrankError as WithCodes<ErrorCodes["ConfigError"]>) {
  override name = "ConfigError";
}
/** Training data cannot be used. */
export class DataError extends (LowrankError as WithCodes<ErrorCodes["DataError"]>) {
  override name = "DataError";
}
/** A download failed, or its contents are not as expected. */
export class DownloadError extends (LowrankError as WithCodes<ErrorCodes["DownloadError"]>) {
  override name = "DownloadError";
}
/** Loss or gradients are not finite. */
export class TrainingError extends (LowrankError as WithCodes<ErrorCodes["TrainingError"]>) {
  override name = "TrainingError";
}

/** Names for a message, such as "a, b and 7 more": at most twelve, each of at most 100 characters. */
export function nameList(names: readonly string[]): string {
  const shown = names.slice(0, 12).map((name) => (name.length > 100 ? `${name.slice(0, 100)}…` : name));
  const more = names.length > 12 ? ` and ${names.length - 12} more` : "";
  return names.length > 0 ? shown.join(", ") + more : "nothing";
}
