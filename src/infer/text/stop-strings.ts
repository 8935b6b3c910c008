/** Text that ends where one of some strings appears, however it is split into chunks. */
export class StopStrings {
  private held = "";
  /** Whether one of the strings has appeared; later text is ignored. */
  stopped = false;

  /** The strings are not empty. */
  constructor(private readonly strings: readonly string[]) {}

  /** The text that cannot be part of a stop string; the possible start of one is held back. */
  push(text: string): string {
    const all = this.held + text;
    const found = this.strings
      .map((string) => ({ at: all.indexOf(string), length: string.length }))
      .filter(({ at }) => at >= 0)
      // The first string to be complete if characters came one by one; of several the longest.
      .sort((a, b) => a.at + a.length - (b.at + b.length) || a.at - b.at);
    if (found[0]) {
      this.stopped = true;
      this.held = "";
      return all.slice(0, found[0].at);
    }
    const keep = Math.max(0, ...this.strings.map((string) => overlap(all, string)));
    this.held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** The text that was held back, at the end. */
  end(): string {
    const rest = this.held;
    this.held = "";
    return rest;
  }
}

/** Number of UTF-16 units at the end of a text that are the start of a string. */
function overlap(text: string, string: string): number {
  for (let count = Math.min(text.length, string.length - 1); count > 0; count--)
    if (text.endsWith(string.slice(0, count))) return count;
  return 0;
}
