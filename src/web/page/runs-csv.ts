/** The table of runs as a CSV file. */
import { toCsv } from "../../io/csv.ts";
import { dataName, describeMethod } from "../../run/record.ts";
import type { TrainOptions } from "../../train/options.ts";
import type { PageRun } from "../protocol.ts";

const COLUMNS = [
  ...["name", "method", "data", "model", "state", "created", "comparison", "epochs", "lr", "seed", "trainable"],
  ...["validation_loss", "test_rows", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_macro_f1"],
  ...["test_perplexity", "seconds", "adapter_bytes"],
] as const;

export function runsCsv(runs: readonly PageRun[]): string {
  return toCsv(
    COLUMNS,
    runs.map(({ name, model, state, comparison, record }) => {
      const { options, results, evaluations, trainable } = record;
      const { epochs, lr, seed }: Partial<TrainOptions> = state === "loaded" ? {} : options;
      const after = results?.after;
      const test = after?.test;
      const interval = results?.test?.compared[0].interval;
      return {
        ...{ name, method: describeMethod(options), data: dataName(record), model, state },
        ...{ created: new Date(record.created).toISOString(), comparison },
        ...{ epochs, lr, seed, trainable },
        validation_loss: after?.val.loss ?? evaluations.at(-1)?.val.loss,
        ...{ test_rows: test?.rows, test_accuracy: test?.accuracy },
        ...{ test_accuracy_low: interval?.low, test_accuracy_high: interval?.high, test_macro_f1: test?.macroF1 },
        ...{
          test_perplexity: test?.perplexity,
          seconds: after ? record.seconds : null,
          adapter_bytes: record.saved || undefined,
        },
      };
    }),
  );
}
