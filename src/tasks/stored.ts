/** The kinds of what more than one task stores. */
export const INTERVAL = { low: "number", high: "number" } as const;
export const ESTIMATE = { value: "number", ...INTERVAL } as const;
const SHARE = { share: "number", ...INTERVAL } as const;

/** The figures of a class or a label. */
export const LABEL = {
  rows: "count",
  predicted: "count",
  "precision?": SHARE,
  "recall?": SHARE,
  "f1?": SHARE,
} as const;
