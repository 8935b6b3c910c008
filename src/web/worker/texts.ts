/** Texts for a language model: loads and describes them. */
import { isOnHub } from "../../data/named.ts";
import { isJsonLines, type LoadedTexts, loadTexts, type TextsOptions, type TextsSpec } from "../../data/texts.ts";
import { Tokenizer } from "../../data/tokenizer.ts";
import type { DownloadOptions } from "../../io/download-options.ts";
import type { GPT2Checkpoint } from "../../io/hf.ts";
import type { DataChoice, PageSettings, TextsReport } from "../protocol.ts";
import { cached, lengthAndSeed, pathsOf, type Source, specOf } from "./sources.ts";

/** Loads texts for the settings and the model. */
export async function openTexts(
  settings: PageSettings,
  model: GPT2Checkpoint,
  context: number,
  downloads: DownloadOptions,
): Promise<Source<LoadedTexts>> {
  const { data: choice } = settings;
  const options: TextsOptions = lengthAndSeed(settings, context);
  if (choice.kind === "texts" && choice.encoding !== undefined) options.encoding = choice.encoding;
  const spec: TextsSpec = choice.kind === "named" ? { name: choice.name } : { file: pathsOf(choice) };
  return cached(["texts", spec, options, model.vocabulary.fingerprint], async () => {
    const data = await loadTexts(spec, { ...options, model, ...downloads });
    return { data, spec: specOf(data, spec), options };
  });
}

/** Characters of a text shown in the preview, and the blocks that surely have them. */
const TEXT_CHARACTERS = 400;
const TEXT_BLOCKS = 8;
/** A perplexity over fewer tokens than this says little. */
const FEW_TOKENS = 100;

export async function describeTexts(
  { stats, maxLength, source, train }: LoadedTexts,
  choice: DataChoice,
  model: GPT2Checkpoint,
): Promise<TextsReport> {
  const { ids } = train.batch(train.positions().subarray(0, TEXT_BLOCKS));
  const tokenizer = await Tokenizer.load({ model });
  const end = tokenizer.decode(Uint32Array.of(tokenizer.endOfText));
  return {
    documents: documentsOf(stats, choice),
    stats: { train: stats.train, val: stats.val, test: stats.test },
    maxLength,
    preview: tokenizer.decode(ids).replaceAll(end, "\n").trim().slice(0, TEXT_CHARACTERS),
    notes: [...(choice.kind === "named" && isOnHub(choice.name) ? [source] : []), ...textNotes(stats, maxLength)],
  };
}

/** A plain text is one document, though it is cut into three sets. */
function documentsOf({ train, val, test }: LoadedTexts["stats"], choice: DataChoice): number {
  if (choice.kind === "named" && !isOnHub(choice.name)) return 1;
  if (choice.kind === "texts" && !choice.files.some(isJsonLines)) return choice.files.length;
  return train.documents + val.documents + test.documents;
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
