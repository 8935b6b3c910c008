export function ifChanged(
  about: { stamp: string; inputs: readonly string[]; outputs: readonly string[] },
  make: (hash: string) => void | Promise<void>,
): Promise<void>;
