/** Answers in words, next to the true ones. */
import type { ComponentChildren } from "preact";
import { formatScore } from "../../../core/format.ts";
import type { Answer } from "../../../tasks/predictions.ts";
import { LabelName } from "../../../views/verdict.tsx";

/** "spam", "spam, urgent" or "4.2" */
export const showAnswer = (answer: Answer): string =>
  typeof answer === "number" ? formatScore(answer) : [answer].flat().join(", ") || "no label";

/** How an answer looks next to the true one, in words; a score is neither right nor wrong. */
export function judge(truth: Answer, answer: Answer): [look: string, words: ComponentChildren] {
  const shown = showAnswer(truth);
  const name = <LabelName name={shown} />;
  if (typeof truth === "number") return ["help", <>Its true score is {name}.</>];
  const isRight = shown === showAnswer(answer);
  // Several labels, or entities.
  if (typeof truth === "object")
    return isRight ? ["right", "Right: it has exactly these."] : ["mistaken", <>Wrong: it has {name}.</>];
  return isRight ? ["right", "Right: this is its true label."] : ["mistaken", <>Wrong: its true label is {name}.</>];
}
