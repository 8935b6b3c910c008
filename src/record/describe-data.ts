/** Descriptions of the data of a run: of the sets that come with the program, and of sms. */
import humanRights from "../../data/datasets/human-rights.json" with { type: "json" };
import languages from "../../data/datasets/languages.json" with { type: "json" };
import sms from "../../data/datasets/sms.json" with { type: "json" };
import spam from "../../data/datasets/spam.json" with { type: "json" };
import { dataFiles, dataName, type RunRecord } from "./record.ts";

interface DataDescription {
  title: string;
  /** ISO 639 codes. */
  language: readonly string[];
  /** In words: parts may have different ones. */
  license: string;
}

/** undefined: files, or a data set of the hub. */
export function findBundled(record: Pick<RunRecord, "data" | "settings">): DataDescription | undefined {
  if (dataFiles(record.data).length > 0) return undefined;
  return [spam, languages, sms, humanRights].find(({ name }) => name === dataName(record));
}
