/** Data sets by name: bundled ones, and ones that are downloaded. */

import { packagePath } from "#platform";
import languages from "../../../data/datasets/languages.json" with { type: "json" };
import sms from "../../../data/datasets/sms.json" with { type: "json" };
import spam from "../../../data/datasets/spam.json" with { type: "json" };
import { ConfigError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { nearest } from "../../core/suggest.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import { HUB_DATASETS } from "../../io/hub/hub-names.ts";
import type { FileReader } from "../../platform/reader.ts";
import { openCollection } from "./sms.ts";
import { refuseExperiment, type Split } from "./split.ts";

/** The fields of every data/datasets/<name>.json. Pages leave out most of its origin: see src/tools/web-build.mjs. */
interface DatasetDescription {
  name: string;
  title: string;
  columns: { text: string; label: string };
  rows: number;
  labels: Record<string, number>;
  /** The parts of the rows, in the file's order, if test figures are given for each. */
  parts?: readonly { name: string; rows: number }[];
}

interface Named {
  description: DatasetDescription;
  /** The default split, and its shares of train, val and test if they are not the usual ones. */
  split: Split;
  fractions?: readonly number[];
  /** Whether rows are dropped by default until all classes are as large as the smallest. */
  balance: boolean;
  /** Returns the path of its file, or the open file. */
  open(split: Split, options: DownloadOptions): Promise<string | FileReader>;
}

const NAMED: readonly Named[] = [
  {
    description: spam,
    split: "stratified",
    balance: false,
    open: async () => packagePath(`data/${spam.file}`),
  },
  {
    description: languages,
    split: "ordered",
    fractions: languages.fractions,
    balance: false,
    open: async () => packagePath(`data/${languages.file}`),
  },
  {
    description: sms,
    split: "experiment",
    balance: true,
    // Imported on demand: it is the only one that is downloaded.
    open: async (split, options) => openCollection(split === "experiment", options),
  },
];

/** Whether a name is one of the Hugging Face hub: "owner/name", with a configuration or a commit behind it. */
export const isOnHub = (name: string) => name.includes("/");

const DATASETS: readonly DatasetDescription[] = NAMED.map(({ description }) => description);

/** Whether a data set of messages comes with the program, or is one that it knows. */
export const isBundled = (name: string) => DATASETS.some((description) => description.name === name);

/** Opens a data set, downloading it if needed. Throws ConfigError, with the nearest name, for an unknown name. */
export async function openNamed(name: string, options: DownloadOptions & { split?: Split; balance?: boolean }) {
  const found = NAMED.find(({ description }) => description.name === name);
  if (!found) {
    const names = DATASETS.map((description) => description.name);
    // Old names of the hub have no owner.
    const near = nearest(name, [...names, ...HUB_DATASETS.map((full) => full.split("/")[1]!)]);
    const meant = HUB_DATASETS.find((full) => full.endsWith(`/${near}`)) ?? near;
    throw new ConfigError("no-such-dataset", `There is no data set "${name}"`, {
      expected: `${names.join(", ")}, or owner/name on the Hugging Face hub`,
      found: name,
      hint: `${meant === undefined ? "" : `did you mean "${meant}"? `}For a file or folder of your own, use ${setting("data")}`,
    });
  }
  const { columns, title, parts = [] } = found.description;
  const split = options.split ?? found.split;
  if (split === "experiment" && (found.split !== split || options.balance === false)) refuseExperiment();
  return {
    file: await found.open(split, options),
    columns: { textColumn: columns.text, labelColumn: columns.label, encoding: "utf-8" },
    source: `${name}: ${title}`,
    split,
    balance: found.balance,
    fractions: found.fractions as [number, number, number] | undefined,
    parts,
  };
}
