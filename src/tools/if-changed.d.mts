export function ifChanged(
  about: { stamp: string; inputs: readonly string[]; outputs: readonly string[] },
  make: () => void | Promise<void>,
): Promise<void>;
