/** For each text, the position of the first earlier text of which it is a near copy, or -1. */
export function nearCopies(texts: readonly string[]): number[];
