/** Data sets by name: those that come with the program, and those that are fetched. */
import { packagePath } from "#platform";
import sms from "../../data/datasets/sms.json" with { type: "json" };
import spamAssassin from "../../data/datasets/spam-assassin.json" with { type: "json" };
import { ConfigError } from "../errors.ts";
import type { DownloadOptions } from "../io/download.ts";
import type { FileReader } from "../platform/reader.ts";
import { nearest } from "../suggest.ts";
import { openCollection } from "./sms.ts";
import type { Split } from "./split.ts";

/** What data/datasets/<name>.json tells of every data set. */
export interface DatasetDescription {
  name: string;
  title: string;
  columns: { text: string; label: string };
  source: string;
  license: string;
  rows: number;
  labels: Record<string, number>;
}

interface Named {
  description: DatasetDescription;
  /** The split that is its own. */
  split: Split;
  /** The path of its file, or the file. */
  open(split: Split, options: DownloadOptions): Promise<string | FileReader>;
}

const NAMED: readonly Named[] = [
  {
    description: spamAssassin,
    split: "random",
    open: async () => packagePath(`dist/${spamAssassin.file}`),
  },
  {
    description: sms,
    split: "experiment",
    open: (split, options) => openCollection(split === "experiment", options),
  },
];

/** Names of the data sets. */
export const DATASETS: readonly DatasetDescription[] = NAMED.map(({ description }) => description);

/** Opens a data set, fetching it where it must be; ConfigError with the nearest name where there is none of this name. */
export async function openNamed(name: string, options: DownloadOptions & { split?: Split }) {
  const found = NAMED.find(({ description }) => description.name === name);
  if (!found) {
    const names = DATASETS.map((description) => description.name);
    const near = nearest(name, names);
    throw new ConfigError(`There is no data set "${name}"`, {
      expected: names.join(", "),
      found: name,
      hint: `${near === undefined ? "" : `did you mean "${near}"? `}A file of your own is given by --data, with its extension`,
    });
  }
  const { columns, title } = found.description;
  const split = options.split ?? found.split;
  return {
    file: await found.open(split, options),
    columns: { textColumn: columns.text, labelColumn: columns.label },
    source: `${name}: ${title}`,
    split,
  };
}
