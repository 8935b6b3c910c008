/** The SMS Spam Collection: downloaded from the UCI repository on first use, verified and stored in the cache. */

import { environment, exists, joinPath, readBytes, remove, writeFileAtomic } from "#platform";
import description from "../../../data/datasets/sms.json" with { type: "json" };
import experiment from "../../../data/datasets/sms-experiment.json" with { type: "json" };
import { DataError, DownloadError } from "../../core/errors.ts";
import { inZip } from "../../io/folder.ts";
import { cacheDirectory } from "../../io/hub/cache.ts";
import { download, fileSize, hash, writing } from "../../io/hub/download.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import { bytesReader, filePieces } from "../../platform/reader.ts";

/** The fields of data/datasets/sms.json that are used here. */
export type CollectionDescription = Pick<
  typeof description,
  "name" | "archive" | "entry" | "rows" | "labels" | "experiment"
>;

const UCI = "https://archive.ics.uci.edu";

type SmsRow = [label: string, text: string];

/**
 * The collection as a CSV file in memory: one message per line, 5574. `asExperiment`: the 1494 messages that the
 * published program drew of the 5572 that it read, in its order. Throws DownloadError if it is not in the cache and
 * cannot be downloaded.
 */
export async function openCollection(
  asExperiment: boolean,
  options: DownloadOptions = {},
  about: CollectionDescription = description,
) {
  const path = await fetchCollection(about, options);
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await readBytes(path));
  const read = asExperiment ? readAsPandas(text) : readLines(text);
  checkRows(read, asExperiment ? about.experiment : about, path);
  const rows = asExperiment ? drawExperiment(read) : read;
  const quoted = (value: string) => `"${value.replaceAll('"', '""')}"`;
  const csv = rows.map(([label, message]) => `${label},${quoted(message)}\n`).join("");
  return bytesReader(`${about.name}.csv`, new TextEncoder().encode(`label,text\n${csv}`));
}

/** The path of the collection's file, which is downloaded unless the cache has it with the right digest. */
async function fetchCollection(about: CollectionDescription, options: DownloadOptions = {}): Promise<string> {
  const folder = joinPath(cacheDirectory(), "datasets", about.name);
  const path = joinPath(folder, about.entry.name);
  if (await isWhole(path, about)) return path;
  try {
    await writing(folder, () => fetchInto(path, about, options), options.signal);
  } catch (error) {
    // By another process, which has deleted the archive.
    if (await isWhole(path, about)) return path;
    if (!(error instanceof DownloadError)) throw error;
    const [summary] = error.message.split("\n");
    throw new DownloadError(error.code, `cannot download the data set "${about.name}": ${summary}`, {
      ...error.details,
      hint: `${error.details.hint ?? "try again later"}; or copy the collection's file, ${about.entry.name}, to ${path}`,
      cause: error,
    });
  }
  return path;
}

/** Downloads the archive, whose digest says what is in it, and unpacks the collection. */
async function fetchInto(path: string, about: CollectionDescription, options: DownloadOptions): Promise<void> {
  const { archive, entry, name } = about;
  const zip = `${path}.zip`;
  const url = `${(environment("LOWRANK_UCI_ENDPOINT") ?? UCI).replace(/\/+$/, "")}/${archive.path}`;
  const digest = { kind: "sha256", hex: archive.sha256 } as const;
  await download(zip, { url, name, file: archive.path.split("/").at(-1)!, size: archive.bytes, digest }, options);
  try {
    await inZip(zip, (files) => writeFileAtomic(path, filePieces(files.get(entry.name)!)));
  } finally {
    await remove(zip);
  }
}

async function isWhole(path: string, { entry }: CollectionDescription): Promise<boolean> {
  return (
    (await exists(path)) && (await fileSize(path)) === entry.bytes && (await hash(path, "sha256")) === entry.sha256
  );
}

/** One message per line: label, tab, text. */
function readLines(text: string): SmsRow[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const tab = line.indexOf("\t");
      return [line.slice(0, tab), line.slice(tab + 1)];
    });
}

/**
 * Reads the same file like pandas.read_csv(sep="\t", header=None): a field that begins with a quotation mark extends,
 * across tabs and line ends, to the next mark that is not doubled. Text after that mark, up to a tab or line end, is
 * part of the field.
 */
export function readAsPandas(text: string): SmsRow[] {
  const rows: SmsRow[] = [];
  let fields: string[] = [];
  let at = 0;
  while (at < text.length) {
    let field = "";
    if (text[at] === '"') {
      at++;
      while (at < text.length) {
        const mark = text.indexOf('"', at);
        const end = mark < 0 ? text.length : mark;
        field += text.slice(at, end);
        at = end + 1;
        if (text[at] !== '"') break;
        field += '"';
        at++;
      }
    }
    const start = at;
    while (at < text.length && text[at] !== "\t" && text[at] !== "\n") at++;
    field += text.slice(start, at);
    fields.push(field);
    if (text[at++] === "\t") continue;
    if (fields.length > 1) rows.push([fields[0]!, fields[1]!]);
    fields = [];
  }
  return rows;
}

/** The messages by their numbers among the ham and then the spam: what pandas draws with its random_state 42. */
function drawExperiment(rows: readonly SmsRow[]): SmsRow[] {
  const byClass = ["ham", "spam"].flatMap((label) => rows.filter((row) => row[0] === label));
  return experiment.rows.split(" ").map((number) => byClass[Number(number)]!);
}

function checkRows(
  rows: SmsRow[],
  { rows: count, labels }: Pick<CollectionDescription, "rows" | "labels">,
  where: string,
) {
  const counts = { ham: 0, spam: 0 };
  for (const [label] of rows) if (label === "ham" || label === "spam") counts[label]++;
  if (rows.length === count && counts.ham === labels.ham && counts.spam === labels.spam) return;
  throw new DataError("not-this-dataset", "the file is not the SMS Spam Collection", {
    where,
    expected: `${count} messages: ${labels.ham} ham, ${labels.spam} spam`,
    found: `${rows.length} messages: ${counts.ham} ham, ${counts.spam} spam`,
  });
}
