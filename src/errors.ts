/** What a person needs to mend a fault: what was expected, what came, where, and a hint. */
export interface ErrorDetails {
  expected?: string;
  found?: string;
  where?: string;
  hint?: string;
  cause?: unknown;
}

/** Most characters of one part of a message: a file's contents are quoted, not copied. */
const LONGEST_PART = 480;

/** Text from outside as a terminal may be given it: control characters, which a terminal obeys, as escapes; line ends and tabs stay. */
export function printable(text: string): string {
  return text.replace(
    /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A part of a message: printable (an escape is longer than what it stands for), then without its middle where it is long. */
function brief(text: string): string {
  const whole = printable(text);
  const half = LONGEST_PART / 2;
  const left = whole.length - LONGEST_PART;
  return left <= 0 ? whole : `${whole.slice(0, half)} [${left} characters left out] ${whole.slice(-half)}`;
}

/**
 * Base of every error that Lowrank raises on purpose; its message is meant to be read by the person at the keyboard, and has
 * at most some 2 kB.
 */
export class LowrankError extends Error {
  // Written out: a page's bundle shortens the names of classes.
  override name = "LowrankError";
  readonly details: ErrorDetails;

  constructor(summary: string, details: ErrorDetails = {}) {
    const lines = [brief(summary)];
    if (details.where !== undefined) lines.push(`  where:    ${brief(details.where)}`);
    if (details.expected !== undefined) lines.push(`  expected: ${brief(details.expected)}`);
    if (details.found !== undefined) lines.push(`  found:    ${brief(details.found)}`);
    if (details.hint !== undefined) lines.push(`  hint:     ${brief(details.hint)}`);
    super(lines.join("\n"), details.cause === undefined ? undefined : { cause: details.cause });
    this.details = details;
  }
}

/** Tensor shapes that do not fit each other. */
export class ShapeError extends LowrankError {
  override name = "ShapeError";
}
/** A file that is not what its format says. */
export class FormatError extends LowrankError {
  override name = "FormatError";
}
/** No device, a device that was lost, or one that is too small. */
export class DeviceError extends LowrankError {
  override name = "DeviceError";
}
/** A setting or flag that makes no sense. */
export class ConfigError extends LowrankError {
  override name = "ConfigError";
}
/** Training data that cannot be used. */
export class DataError extends LowrankError {
  override name = "DataError";
}
/** Something that could not be fetched, or is not what it should be. */
export class DownloadError extends LowrankError {
  override name = "DownloadError";
}
/** Loss or gradients that are no longer finite. */
export class TrainingError extends LowrankError {
  override name = "TrainingError";
}

/** "a, b and 7 more": names for a message, at most twelve of at most 100 characters. */
export function nameList(names: readonly string[]): string {
  const shown = names.slice(0, 12).map((name) => (name.length > 100 ? `${name.slice(0, 100)}…` : name));
  const more = names.length > 12 ? ` and ${names.length - 12} more` : "";
  return names.length > 0 ? shown.join(", ") + more : "nothing";
}
