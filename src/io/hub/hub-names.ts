/** Names of repositories on the Hugging Face hub, and the folders in which its cache keeps them. */
import { nearest } from "../../core/suggest.ts";

export interface Repository {
  type: "model" | "dataset";
  /** "owner/name"; names of old models have no owner. */
  name: string;
}

/** The short names of models, those of GPT-2 as transformers accepts them, and the repositories they stand for. */
export const HUB_MODELS: Readonly<Record<string, string>> = {
  gpt2: "openai-community/gpt2",
  "gpt2-medium": "openai-community/gpt2-medium",
  "gpt2-large": "openai-community/gpt2-large",
  "gpt2-xl": "openai-community/gpt2-xl",
  distilgpt2: "distilbert/distilgpt2",
  "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
};
/** Data sets that are suggested where a name is not known. */
export const HUB_DATASETS = ["ucirvine/sms_spam", "fancyzhx/ag_news", "stanfordnlp/imdb"] as const;

const KNOWN = { model: Object.values(HUB_MODELS), dataset: HUB_DATASETS };

/** The known repository that is probably meant: one with a similar name, or the same name under another owner. */
export function nearestRepository({ type, name }: Repository): string | undefined {
  const withoutOwner = (full: string) => full.slice(full.indexOf("/") + 1);
  const known = KNOWN[type].filter((other) => other !== name);
  return known.find((one) => withoutOwner(one) === withoutOwner(name)) ?? nearest(name, known);
}

/** Whether a text has the form of "owner/name". */
export const isHubName = (text: string) => /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(text) && !/\.\.|--/.test(text);

export const folderName = ({ type, name }: Repository) => `${type}s--${name.replace("/", "--")}`;

/** The repository and revision of a model's snapshot directory; undefined for any other directory. */
export function parseSnapshot(directory: string): { name: string; revision: string } | undefined {
  const match = /[\\/]models--([^\\/]+)[\\/]snapshots[\\/]([^\\/]+)[\\/]?$/.exec(directory);
  return match ? { name: match[1]!.replace("--", "/"), revision: match[2]! } : undefined;
}
