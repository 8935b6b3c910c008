/** Training with the arguments of `fineTune`, without a record or a directory. */
import { divideArguments, type TrainArguments } from "../../src/train/job.ts";
import type { TrainResult } from "../../src/train/records.ts";
import { train as trainJob } from "../../src/train/trainer.ts";

export function train(args: TrainArguments, shared?: Parameters<typeof trainJob>[2]): Promise<TrainResult> {
  const { job, start } = divideArguments(args);
  return trainJob(job, start, shared);
}
