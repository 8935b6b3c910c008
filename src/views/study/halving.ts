/** A study report's part on halving: what was trained in each rung, and what went on. */

import { type Block, heading, makeTable, text } from "../../document/blocks.ts";
import { formatCount, formatDuration, formatLoss } from "../../format.ts";
import { countOf } from "../../io/common.ts";
import { describeTrial, rateWords, type Trial } from "../../study/grid.ts";
import { type Candidate, listEpochs } from "../../study/halving.ts";
import type { TrialRecord } from "../../study/store.ts";
import { lowestLoss } from "../../train/best.ts";

/** A rung: the candidates with finished trials in it. */
interface Rung {
  number: number;
  entrants: Candidate[];
  finished: TrialRecord[];
  /** Those of them with finished trials in the next rung. */
  onward: Candidate[];
}

/** The steps of a study that has halved; nothing of one that has not. */
export function steps(candidates: readonly Candidate[] | undefined, finished: readonly TrialRecord[]): Block[] {
  if (!candidates) return [];
  const rungs = listRungs(candidates, finished);
  const [first] = rungs;
  const untried = candidates.length - first!.entrants.length;
  const models = new Set(candidates.map((one) => firstTrial(one).model));
  const title = (trial: Trial) =>
    [describeTrial(trial), ...rateWords(trial.options), ...(models.size > 1 ? [trial.model] : [])].join(", ");
  const best = ({ finished }: Rung) => lowestLoss(finished, ({ results }) => results.after.val.loss);
  return [
    heading("Steps"),
    text(
      (rungs.length > 1
        ? `The settings were chosen by successive halving (Jamieson and Talwalkar 2016): of ${countOf(candidates, "setting")} each is first ` +
          "trained for few epochs; the third with the lowest validation loss goes on to more. Every run starts from its " +
          "first step, with a schedule of its own, so that it can be repeated by hand. The test set decided nothing."
        : candidates.length > 1
          ? `Of ${candidates.length} settings each is trained to the end: runs of fewer epochs would save less than half of the time.`
          : "The setting is trained to the end.") +
        (untried > 0 ? ` For ${untried} of the settings there was no time.` : "") +
        (rungs.at(-1)!.finished.length === 0 ? " There was no time to train any setting to the end." : "") +
        (rungs.length > 1 ? " Settings that did not go on are compared as they were after fewer epochs." : ""),
    ),
    makeTable<Rung>(
      "steps",
      "Steps, with what went on",
      [
        { title: "Rung", key: "rung", value: ({ number }) => number },
        { title: "Epochs", key: "epochs", value: ({ finished }) => listEpochs(finished) },
        { title: "Settings", key: "settings", format: formatCount, value: ({ entrants }) => entrants.length },
        { title: "Runs", key: "runs", format: formatCount, value: ({ finished }) => finished.length },
        {
          ...{ title: "Time", key: "seconds", format: formatDuration },
          value: ({ finished }) => finished.reduce((sum, { seconds }) => sum + seconds, 0),
        },
        {
          ...{ title: "Best validation loss", key: "validation loss", format: formatLoss },
          value: (rung) => best(rung)?.results.after.val.loss,
        },
        {
          ...{ title: "Of", key: "best" },
          value: (rung) => {
            const found = best(rung);
            return found && title({ ...found.trial, options: found.options });
          },
        },
        {
          ...{ title: "Went on", key: "went on" },
          value: ({ onward }) => onward.map((one) => title(firstTrial(one))).join("; ") || null,
        },
      ],
      rungs.filter(({ finished }) => finished.length > 0),
    ),
  ];
}

const firstTrial = ({ rungs }: Candidate) => rungs[0]![0]!;

function listRungs(candidates: readonly Candidate[], finished: readonly TrialRecord[]): Rung[] {
  const records = new Map(finished.map((one) => [one.trial.key, one]));
  const rungs = candidates[0]!.rungs.map((_, rung) => {
    const entrants = candidates.filter(({ rungs }) => rungs[rung]!.some(({ key }) => records.has(key)));
    const keys = new Set(entrants.flatMap(({ rungs }) => rungs[rung]!.map(({ key }) => key)));
    return { number: rung + 1, entrants, finished: finished.filter(({ trial }) => keys.has(trial.key)) };
  });
  return rungs.map((one, i) => {
    const next = new Set(rungs[i + 1]?.entrants);
    return { ...one, onward: one.entrants.filter((candidate) => next.has(candidate)) };
  });
}
