/** A study report's part on halving: how the settings were chosen that went on. */
import { type Block, heading, text } from "../../document/blocks.ts";
import { countOf } from "../../io/common.ts";
import type { Candidate } from "../halving.ts";
import type { TrialRecord } from "../store.ts";

/** The steps of a study that has halved; nothing of one that has not. */
export function steps(candidates: readonly Candidate[] | undefined, finished: readonly TrialRecord[]): Block[] {
  if (!candidates) return [];
  const keys = new Set(finished.map(({ trial }) => trial.key));
  const rungs = candidates[0]!.rungs.map((_, rung) =>
    countOf(
      candidates.filter((candidate) => candidate.rungs[rung]!.some(({ key }) => keys.has(key))),
      "setting",
    ),
  );
  const how =
    rungs.length > 1
      ? `The settings were chosen by successive halving (Jamieson and Talwalkar 2016): of ${countOf(candidates, "setting")} each is first ` +
        "trained for few epochs; the third with the lowest validation loss goes on to more. Every run starts from its " +
        "first step, with a schedule of its own, so that it can be repeated by hand. The test set decided nothing. " +
        "Settings that did not go on are compared as they were after fewer epochs."
      : candidates.length > 1
        ? `Of ${candidates.length} settings each is trained to the end: runs of fewer epochs would save less than half of the time.`
        : "The setting is trained to the end.";
  return [heading("Steps"), text(`${how} There was time for ${rungs.join(", then ")}.`)];
}
