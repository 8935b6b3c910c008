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

test("messages are truncated for a model, and read whole by word counts", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => `${i % 2 ? "ham" : "spam"},${"word ".repeat(90)}${i}\n`).join("");
  const data = await tinyData(`label,text\n${rows}`);
  const described = (mode: "lora" | "classic") => renderBlocks(dataBlocks(data, "m", "auto", mode));
  assert.match(described("lora"), /Truncated[\s\S]*20 messages are longer than 64 tokens and were truncated/);
  assert.not.match(described("classic"), /truncated|tokens/i);
  assert.match(described("classic"), /Training[ │]+14/);
});
