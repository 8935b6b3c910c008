/** --plan of a study: the trials, with what each takes. */
import { openBackend } from "../backend/device.ts";
import { formatDuration } from "../core/format.ts";
import { makeTable, text } from "../document/blocks.ts";
import { countOf } from "../io/common.ts";
import { loadModel } from "../io/hf.ts";
import { formatBytes } from "../plan/memory.ts";
import { checkTrials } from "../study/check-trials.ts";
import { describeTrial, formatRate, runnableTrials, type Trial, titleTrials, without } from "../study/grid.ts";
import { oncePerShape } from "../study/shards.ts";
import { estimateTrial, type TrialEstimate } from "../train/estimate.ts";
import { terminalMessage } from "../views/terminal/flag-words.ts";
import { type DeviceFlags, printNote } from "./cli.ts";
import { printBlocks } from "./run-printer.ts";
import { DOWNLOADS, type OpenedStudy } from "./run-study.ts";

/**
 * Lists the trials with trainable parameters, memory and time, which is estimated from a few steps of each shape.
 * Further seeds of a setting whose learning rate is not chosen yet are counted at its first rate. Returns the exit
 * code.
 */
export async function planStudy(
  { cells, dataOf, models }: Pick<OpenedStudy, "cells" | "dataOf" | "models">,
  { device, threads, json }: DeviceFlags & { json?: boolean },
  isMine: (trial: Trial) => boolean = () => true,
): Promise<number> {
  const backend = await openBackend(device, { threads });
  const title = titleTrials(cells);
  const now = runnableTrials(cells).filter(isMine);
  const later = without(runnableTrials(cells, () => 0).filter(isMine), now);
  try {
    const findModel = (name: string) => models.get(name)!;
    const unmakeable = checkTrials([...now, ...later], { device: backend, dataOf, findModel });
    const isMakeable = ({ key }: Trial) => !unmakeable.has(key);
    for (const trial of now.filter((candidate) => !isMakeable(candidate)))
      printNote(`cannot be made: ${title(trial)}\n${terminalMessage(unmakeable.get(trial.key)!)}`);
    const estimate = oncePerShape(async (trial) => {
      printNote(`timing a few steps: ${describeTrial(trial)}`);
      const model = await loadModel(trial.model, DOWNLOADS);
      const options = { device: backend, model, data: dataOf(trial.model), ...trial.options };
      return estimateTrial(options).finally(() => model.close());
    });
    const all: (TrialEstimate & { trial: Trial })[] = [];
    for (const trial of [...now, ...later].filter(isMakeable)) all.push({ trial, ...(await estimate(trial)) });
    if (json) {
      const trials = all.map(({ trial, ...sizes }) => ({ trial: trial.name, ...sizes }));
      console.log(JSON.stringify({ type: "plan", trials }));
      return 0;
    }
    const rows = all.slice(0, now.filter(isMakeable).length);
    const total = all.reduce((sum, { seconds }) => sum + seconds, 0);
    const devices = [...new Set(all.map((planned) => planned.device))].join(" and ");
    const chosen = all.length - rows.length;
    const after = chosen > 0 ? ` (${chosen} of them at the learning rates that are then chosen)` : "";
    const table = makeTable<(typeof rows)[number]>(
      "trials",
      "Trials, with the memory and the time that each takes",
      [
        { title: "", key: null, value: (row) => rows.indexOf(row) + 1 },
        { title: models.size > 1 ? "Model" : null, key: "model", value: ({ trial }) => trial.model },
        { title: "Trial", key: "trial", value: ({ trial }) => describeTrial(trial) },
        { title: "Rate", key: "rate", format: formatRate, value: ({ trial }) => trial.options.lr },
        { title: "Seed", key: "seed", value: ({ trial }) => trial.options.seed },
        { title: "Trainable", key: "trainable", value: ({ trainable }) => trainable },
        { title: "Memory", key: "memory", format: formatBytes, value: ({ bytes }) => bytes },
        { title: "Time, about", key: "time", format: formatDuration, value: ({ seconds }) => seconds },
      ],
      rows,
    );
    const effort = `${countOf(all, "trial")}${after}, about ${formatDuration(total)} of training steps one after the other on ${devices}`;
    printBlocks([table, text(effort)]);
    return 0;
  } finally {
    backend.destroy();
  }
}
