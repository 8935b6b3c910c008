/** --to page: one HTML file that classifies on its own, with messages to click. */
import { packagePath, readBytes } from "#platform";
import { architectureName } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { formatCount } from "../format.ts";
import { joinPair, readsPairs, type TextOrPair } from "../pair.ts";
import { nameFile } from "../quote.ts";
import { dataName, type RunRecord } from "../run/record.ts";
import { hasHead } from "../tasks/index.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { WORDS } from "../tasks/words.ts";
import { type PlanForm, sized } from "./form.ts";
import { baseLabel } from "./peft-code.ts";
import { planStandalone } from "./standalone.ts";
import { pageQuestion, trainedTitle } from "./usage.ts";

/** The built page, without a model. */
export const TEMPLATE = "dist/standalone.html";
/** What the file is called, behind the name of the data. */
export const PAGE = "classifier.html";

/** Messages to click. */
const EXAMPLES = 6;

export const plan: PlanForm = async ({ adapter, baseModel, base, record }, { title }) => {
  const { meta } = adapter;
  if (!hasHead(meta.task))
    throw new ConfigError("not-expressible-in-format", "a page of one file classifies", {
      found: "a model that writes texts",
      hint: "use --to gguf or onnx",
    });
  const template = new TextDecoder().decode(await readBytes(packagePath(TEMPLATE)));
  const named = trainedTitle({ meta, base });
  const result = record?.results ? ` ${WORDS[record.objective].headline(record, record.results)}.` : "";
  const found = record ? testMessages(record) : [];
  const page = await planStandalone(
    template,
    {
      title: title?.trim() || pageQuestion(meta),
      summary: `${architectureName(meta.model)}, fine-tuned: ${named}.${result}`,
      examples: found.length > 0 ? found : [textToTry([], readsPairs(meta))],
    },
    // The owner's folders stay at home.
    { ...adapter, meta: { ...meta, base_model: baseLabel(base) } },
    baseModel,
  );
  const file = nameFile(record ? dataName(record) : "", PAGE);
  const rows = `${formatCount(found.length)} ${found.length === 1 ? "message" : "messages"} of the test set`;
  return {
    files: new Map([[file, sized(page.bytes, page.write)]]),
    notes: found.length > 0 ? [`who has the page can read ${rows} in it, as examples`] : [],
    title: named,
    usages: [
      {
        title: "In a browser",
        language: "html",
        text: `Open ${file} with a double click: it needs no server and no network, and sends nothing.`,
        code: null,
      },
    ],
  };
};

/** Some messages of the run's test set: they are those with which "Try it" begins, without their labels. */
function testMessages({ results }: RunRecord): TextOrPair[] {
  const { samples = [] } = results?.test ?? {};
  return samples
    .map(({ text }) => text)
    .filter((text) => joinPair(text).trim() !== "")
    .slice(0, EXAMPLES);
}
