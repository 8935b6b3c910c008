/** The table of runs as a CSV file. */
import { describeMethod } from "../../methods/index.ts";
import { dataName } from "../../run/record.ts";
import { type Cell, makeTable } from "../../views/blocks.ts";
import { tableToCsv } from "../../views/csv.ts";
import type { PageRun } from "../protocol.ts";

const column = (key: string, value: (run: PageRun) => Cell) => ({ title: null, key, value });

const COLUMNS = [
  column("name", ({ name }) => name),
  column("method", ({ record }) => describeMethod(record.options)),
  column("data", ({ record }) => dataName(record)),
  column("model", ({ model }) => model),
  column("state", ({ state }) => state),
  column("created", ({ record }) => new Date(record.created).toISOString()),
  column("comparison", ({ comparison }) => comparison),
  // Of an adapter from a file only the method is known.
  ...(["epochs", "lr", "seed"] as const).map((key) =>
    column(key, ({ state, record }) => (state === "loaded" ? null : record.options[key])),
  ),
  column("trainable", ({ record }) => record.trainable),
  column(
    "validation_loss",
    ({ record: { results, evaluations } }) => results?.after.val.loss ?? evaluations.at(-1)?.val.loss,
  ),
  column("test_rows", ({ record }) => record.results?.after.test.rows),
  column("test_accuracy", ({ record }) => record.results?.after.test.accuracy),
  column("test_accuracy_low", ({ record }) => record.results?.test?.compared[0].interval.low),
  column("test_accuracy_high", ({ record }) => record.results?.test?.compared[0].interval.high),
  column("test_macro_f1", ({ record }) => record.results?.after.test.macroF1),
  column("test_perplexity", ({ record }) => record.results?.after.test.perplexity),
  column("seconds", ({ record }) => record.results && record.seconds),
  column("adapter_bytes", ({ record }) => record.saved || null),
];

export function runsCsv(runs: readonly PageRun[]): string {
  return tableToCsv(makeTable("runs", "Runs", COLUMNS, runs));
}
