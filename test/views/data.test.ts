/** What is said of data. */
import * as assert from "uvu/assert";
import { dataBlocks } from "../../src/views/data.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { test } from "../helpers/harness.ts";
import { tinyData } from "../helpers/tiny.ts";

test("classes without a row in a set are named", async () => {
  const rows = (label: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${label},row ${i}\n`).join("");
  const described = async (content: string, split: "ordered" | "random") =>
    renderBlocks(dataBlocks(await tinyData(`label,text\n${content}`, { split }), "m", "auto"));
  const missing = await described(rows("ham", 18) + rows("spam", 2), "ordered");
  assert.match(missing, 'note: no row of "spam" is in the training set, so that it cannot be learned\n');
  assert.match(missing, 'note: no row of "spam" is in the validation set');
  assert.match(
    await described(rows("ham", 18) + rows("spam", 2), "random"),
    "validation set; another seed draws another split",
  );
  assert.not.match(await described(rows("ham", 50) + rows("spam", 50), "random"), "no row of");
});
