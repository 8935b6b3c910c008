/** The kinds of labels: one is added by its file and its line here. */
import { CLASS } from "./class.ts";
import type { LabelKind } from "./kind.ts";
import { NONE } from "./none.ts";
import { SCORE } from "./score.ts";
import { SET } from "./set.ts";
import { TAGS } from "./tags.ts";

/** In the order in which labels that were read as classes are tried as another kind. */
export const LABELS: readonly LabelKind[] = [TAGS, SCORE, SET, CLASS, NONE];
