/** sweep --dry-run: the trials, with what each takes. */
import { openBackend } from "../backend/device.ts";
import { makeTable, text } from "../document/blocks.ts";
import { formatDuration } from "../format.ts";
import { countOf } from "../io/common.ts";
import { loadModel } from "../io/hf.ts";
import { formatBytes } from "../plan/memory.ts";
import { checkTrials } from "../study/check-trials.ts";
import { describeTrial, formatRate, type Trial, titleTrials } from "../study/grid.ts";
import { trialShape } from "../study/shards.ts";
import { estimateTrial, type TrialEstimate } from "../train/estimate.ts";
import { terminalMessage } from "../views/terminal/flag-words.ts";
import { type DeviceFlags, printNote } from "./cli.ts";
import { printBlocks } from "./run-printer.ts";
import { DOWNLOADS, type OpenedStudy } from "./run-study.ts";

/**
 * Lists the trials with trainable parameters, memory and time, which is estimated from a few steps of each shape.
 * `later` are in place of those whose learning rate is not chosen yet. Returns the exit code.
 */
export async function dryRun(
  { cells, dataOf, models }: OpenedStudy,
  [now, later]: readonly (readonly Trial[])[],
  flags: DeviceFlags,
): Promise<number> {
  const backend = await openBackend(flags.device, { threads: flags.threads });
  const known = new Map<string, TrialEstimate>();
  const title = titleTrials(cells);
  try {
    const findModel = (name: string) => models.get(name)!;
    const unmakeable = checkTrials([...now!, ...later!], { device: backend, dataOf, findModel });
    const makeable = (trials: readonly Trial[]) => trials.filter(({ key }) => !unmakeable.has(key));
    for (const trial of now!.filter(({ key }) => unmakeable.has(key)))
      printNote(`cannot be made: ${title(trial)}\n${terminalMessage(unmakeable.get(trial.key)!)}`);
    const shapes = new Set(makeable([...now!, ...later!]).map(trialShape)).size;
    const estimate = async (trial: Trial) => {
      const key = trialShape(trial);
      if (!known.has(key)) {
        printNote(`timing a few steps, ${known.size + 1} of ${shapes}: ${describeTrial(trial)}`);
        const model = await loadModel(trial.model, DOWNLOADS);
        const options = { device: backend, model, data: dataOf(trial.model), ...trial.options };
        known.set(key, await estimateTrial(options).finally(() => model.close()));
      }
      return { trial, ...known.get(key)! };
    };
    const rows: (TrialEstimate & { trial: Trial; number: number })[] = [];
    for (const [i, trial] of makeable(now!).entries()) rows.push({ ...(await estimate(trial)), number: i + 1 });
    const after = [];
    for (const trial of makeable(later!)) after.push(await estimate(trial));
    const all = [...rows, ...after];
    const total = all.reduce((sum, { seconds }) => sum + seconds, 0);
    const devices = [...new Set(all.map(({ device }) => device))].join(" and ");
    const chosen = after.length > 0 ? ` (${after.length} of them at the learning rates that are then chosen)` : "";
    const table = makeTable<(typeof rows)[number]>(
      "trials",
      "Trials, with the memory and the time that each takes",
      [
        { title: "", key: null, value: ({ number }) => number },
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
    const effort = `${countOf(all, "trial")}${chosen}, about ${formatDuration(total)} of training steps one after the other on ${devices}`;
    printBlocks([table, text(effort)]);
    return 0;
  } finally {
    backend.destroy();
  }
}
