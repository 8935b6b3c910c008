/** The table of runs as a CSV file. */
import { toCsv } from "../../report/csv.ts";
import type { RunRecord } from "../protocol.ts";

const COLUMNS = [
  ...["name", "method", "data", "model", "state", "created", "comparison", "epochs", "lr", "seed", "trainable"],
  ...["validation_loss", "test_rows", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_macro_f1"],
  ...["test_perplexity", "seconds", "adapter_bytes"],
] as const;

export function runsCsv(runs: readonly RunRecord[]): string {
  return toCsv(
    COLUMNS,
    runs.map((run) => {
      const { settings, after, evaluations, compared } = run;
      const { epochs, lr, seed } = settings.options;
      const { test } = after ?? {};
      const interval = compared?.[0]?.interval;
      return {
        ...{ name: run.name, method: run.title, data: run.dataName, model: settings.model, state: run.state },
        ...{ created: new Date(run.created).toISOString(), comparison: run.comparison },
        ...{ epochs, lr, seed, trainable: run.trainable },
        validation_loss: after?.val.loss ?? evaluations.at(-1)?.val.loss,
        ...{ test_rows: test?.rows, test_accuracy: test?.accuracy },
        ...{ test_accuracy_low: interval?.low, test_accuracy_high: interval?.high, test_macro_f1: test?.macroF1 },
        ...{ test_perplexity: test?.perplexity, seconds: after ? run.seconds : null, adapter_bytes: run.savedBytes },
      };
    }),
  );
}
