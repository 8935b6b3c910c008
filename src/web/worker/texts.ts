/** Describes the texts of a language model for the page. */
import { isOnHub } from "../../data/named.ts";
import { isJsonLines, type LoadedTexts } from "../../data/texts.ts";
import { Tokenizer } from "../../data/tokenizer.ts";
import type { BaseModel } from "../../io/hf.ts";
import type { RunSettings } from "../../run/settings.ts";
import type { TextsReport } from "../protocol.ts";

/** Characters of a text shown in the preview, and the blocks that surely have them. */
const TEXT_CHARACTERS = 400;
const TEXT_BLOCKS = 8;
/** A perplexity over fewer tokens than this says little. */
const FEW_TOKENS = 100;

export async function describeTexts(
  { stats, maxLength, source, train }: LoadedTexts,
  settings: RunSettings,
  model: BaseModel,
): Promise<TextsReport> {
  const { ids } = train.batch(train.positions().subarray(0, TEXT_BLOCKS));
  const tokenizer = await Tokenizer.load({ model });
  const { end, begin } = model.vocabulary;
  return {
    documents: countDocuments(stats, settings),
    stats: { train: stats.train, val: stats.val, test: stats.test },
    maxLength,
    preview: tokenizer
      .decode(begin === null ? ids : ids.filter((id) => id !== begin.id))
      .replaceAll(end.text, "\n")
      .trim()
      .slice(0, TEXT_CHARACTERS),
    notes: [...(isOnHub(settings.dataset ?? "") ? [source] : []), ...textNotes(stats, maxLength)],
  };
}

/** A plain text is one document, though it is cut into three sets. */
function countDocuments({ train, val, test }: LoadedTexts["stats"], { dataset, data = [] }: RunSettings): number {
  const files = [data].flat();
  const isPlain = dataset === undefined ? !files.some(isJsonLines) : !isOnHub(dataset);
  return isPlain ? Math.max(1, files.length) : train.documents + val.documents + test.documents;
}

function textNotes({ train, val, test, empty }: LoadedTexts["stats"], maxLength: number): string[] {
  const cut = train.cut + val.cut + test.cut;
  const few = { validation: val, test };
  return [
    ...Object.entries(few)
      .filter(([, { tokens }]) => tokens < FEW_TOKENS)
      .map(([name, { tokens }]) => `The ${name} set has only ${tokens} tokens: its perplexity says little`),
    ...(empty > 0
      ? [`${empty.toLocaleString("en-US")} empty ${empty === 1 ? "document was" : "documents were"} skipped`]
      : []),
    ...(cut > 0
      ? [`${cut.toLocaleString("en-US")} completions are longer than ${maxLength} tokens and are truncated`]
      : []),
  ];
}
