/** The messages of a run's test set, from its predictions.csv: they are there when the data no longer is. */
import { exists, joinPath, readBytes } from "#platform";
import { parseCsv } from "../io/csv.ts";
import type { TestMessage } from "../train/results.ts";

/** The test set of a run directory, in its order; null if the run was not measured on it. */
export async function testMessages(directory: string): Promise<TestMessage[] | null> {
  const path = joinPath(directory, "predictions.csv");
  if (!(await exists(path))) return null;
  const [header = [], ...rows] = parseCsv(new TextDecoder().decode(await readBytes(path)));
  const truth = header.indexOf("truth");
  return rows
    .filter(([set]) => set === "test")
    .map((row) => ({
      text: truth === 4 ? ([row[2]!, row[3]!] as const) : row[2]!,
      truth: row[truth]!,
      predicted: row[truth + 1]!,
      // A class can have the name of another column.
      probability: Number(row[header.indexOf(`probability ${row[truth + 1]}`, truth + 2)]),
    }));
}
