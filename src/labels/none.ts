/** No labels: texts are learned to be written. */
import type { LabelKind } from "./kind.ts";

export const NONE: LabelKind = {
  of: "nothing",
  isList: false,
  columns: [],
  labelsOf: () => [],
  baselines: () => [],
};
