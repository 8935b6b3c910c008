/** The page learns scores, and several labels a message, from a file of the visitor's. */
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { freshPage } from "./browser.ts";
import { assertAccessible, pickFile, pickTinyModel, SETTINGS, set, start, waitForState } from "./page.ts";

const rows = (label: (i: number) => string) =>
  `label,text\n${Array.from({ length: 60 }, (_, i) => `${label(i)},"message ${i}${" please".repeat(i % 4)}"`).join("\n")}\n`;

for (const { objective, content, status, outcome, verdict } of [
  {
    objective: "regression",
    content: rows((i) => String((i % 4) + 0.5)),
    status: /^Finished in [^.]+\. RMSE [\d.]+ on 12 test messages/,
    outcome: /always the mean, [12]/,
    verdict: /Fine-tuned model-?[\d.]+/,
  },
  {
    objective: "multi-label",
    content: rows((i) => ["red|blue", "red", "", "blue"][i % 4]!),
    status: /^Finished in [^.]+\. Micro F1 \d/,
    outcome: /Exact match.*a logistic regression a label/,
    verdict: /Fine-tuned model.*(red|blue|no label).*\d/,
  },
])
  test(`${objective}: a file, a run, its results, a typed message`, async () => {
    const { page, faults, context } = await freshPage();
    await pickTinyModel(page);
    await pickFile(page, content);
    await page.selectOption("#labels-are", objective);
    await page.waitForSelector("text=rows: 60 read");
    await set(page, SETTINGS);
    assert.is(await page.locator("#field-classWeights").count(), 0);
    await start(page);
    await waitForState(page, "finished");
    assert.match((await page.textContent("#status"))!, status);
    assert.match((await page.textContent("#outcome"))!, outcome);
    await page.fill("#message", "message please please");
    await page.waitForSelector("#verdict .learned strong");
    assert.match((await page.textContent("#verdict"))!, verdict);
    await assertAccessible(page);
    assert.equal(faults, []);
    await context.close();
  });
