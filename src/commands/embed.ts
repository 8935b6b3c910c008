/** embed: writes the vectors of a table's texts. */

import { WEIGHT_DTYPES } from "../core/tensor.ts";
import { DEFAULT_BASE } from "../io/hf.ts";
import { choice, command, deviceFlag, main, threadsFlag } from "./cli.ts";
import { type EmbedFlags, embedFile } from "./label.ts";

const program = command(
  "embed",
  "Writes a vector for each row of a table: the mean of what the base model makes of its text, divided by its length, so that the " +
    "cosine similarity of two texts is the dot product of their vectors. Encoders, such as the bundled one, are made for it. " +
    "Rows keep their order; the vector of one without a text is zeros. What the model wants before a text (query: ) is a part of it, " +
    "unless its folder has a default prompt. --out is an array of float32 (.npy); text and a column for each number (.csv); or text and vector, a list (.parquet).",
  ["messages.csv --out vectors.npy", "tickets.xlsx --out vectors.parquet --text-column words"],
)
  .argument("<file>", "a CSV, TSV, JSON, Excel (.xlsx) or Parquet file")
  .requiredOption("--out <file>", "a .npy, .csv or .parquet file, which is there when all rows are done")
  .option("--model <dir|name>", "base model", DEFAULT_BASE)
  .option("--text-column <name>", "text column of the file (default: detected)")
  .option("--sheet <name>", "sheet of an Excel file (default: the only one with cells)")
  .option("--encoding <name>", "encoding of the file where it is not UTF-8, such as windows-1252")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(choice("--dtype <type>", "data type of the weights (default: f32)", WEIGHT_DTYPES))
  .option("--force", "replace an existing --out");

await main(async () => {
  program.parse();
  await embedFile(program.args[0]!, program.opts<EmbedFlags>());
  return 0;
});
