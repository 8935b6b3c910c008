/** What the system answers; undefined where the runtime forbids to ask: Deno, without the permission. */
export function ifPermitted<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}
