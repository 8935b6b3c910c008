/**
 * What a model card says of a run: what it was trained on, how, and what it has reached. It has no text of the data: a
 * card is for everybody, and the texts may be a person's.
 */
import { describeDevice } from "../backend/backend.ts";
import { showSettings } from "../export/usage.ts";
import { count, showDuration } from "../format.ts";
import { describeMethod, hasSetting } from "../methods/index.ts";
import { describeData } from "../run/describe-data.ts";
import { dataName, type RunRecord } from "../run/record.ts";
import { LISTED_CLASSES } from "../statistics.ts";
import { type Block, makeTable, type Table } from "./blocks.ts";
import { toMarkdown } from "./markdown.ts";
import { resultBlocks } from "./run.ts";

/** The sections of a card, in Markdown. */
export function describeForCard(record: RunRecord): string {
  const results = publicBlocks(resultBlocks(record, { advises: false }));
  const blocks: Block[] = [
    { kind: "heading", level: 2, text: "Training" },
    factsTable(record),
    ...(results.length > 0 ? [{ kind: "heading", level: 2, text: "Results" } as const, ...results] : []),
  ];
  return toMarkdown(blocks, { links: false });
}

/** Blocks without messages of the data, and without figures, which a card has no files of. */
function publicBlocks(blocks: readonly Block[]): Block[] {
  return blocks.flatMap((block) => {
    if (block.kind === "details") return publicBlocks(block.blocks);
    const isPrivate = block.kind === "table" && block.columns.some(({ key }) => key === "message");
    return block.kind === "figure" || isPrivate ? [] : [block];
  });
}

function factsTable(record: RunRecord): Table {
  const { options, trainable, parameters, seconds, device, lowrank, platform } = record;
  const data = dataName(record);
  const about = describeData(record);
  const facts: [name: string, value: string | null][] = [
    ["Method", describeMethod(options)],
    ["Adapted matrices", hasSetting(options.mode, "targets") ? options.targets.join(", ") : null],
    ["Trained parameters", `${count(trainable)} of ${count(parameters)}`],
    ["Data", about ? `${data}: ${about.title}` : data],
    ["Licence of the data", about?.license ?? null],
    ["Sets", showSets(record)],
    ["Classes", showClasses(record)],
    ["Settings", showSettings(options)],
    ["Trained", `in ${showDuration(seconds)}${device ? ` on ${describeDevice(device)}` : ""}`],
    ["With", `Lowrank ${lowrank}, ${platform}`],
  ];
  return makeTable<(typeof facts)[0]>(
    "facts",
    "What it was trained on, and how",
    [
      { title: "", key: "what", value: ([name]) => name },
      { title: "", key: "value", value: ([, value]) => value },
    ],
    facts.filter(([, value]) => value !== null),
  );
}

function showSets({ counts, objective, maxLength, padTo }: RunRecord): string {
  const rows = counts.rows.map(count);
  const what = objective === "lm" ? "blocks" : "rows";
  const length = padTo > 0 ? `padded to ${count(padTo)} tokens` : `of at most ${count(maxLength)} tokens`;
  return `${rows[0]} ${what} for training, ${rows[1]} for validation, ${rows[2]} for the test, ${length}`;
}

/** The classes with their rows in the test set: a record has no other counts of them. */
function showClasses({ labels, results, objective }: RunRecord): string | null {
  if (objective === "lm" || objective === "regression") return null;
  if (labels.length > LISTED_CLASSES) return count(labels.length);
  const measured = results?.test?.classes ?? results?.multiLabel?.labels;
  if (!measured) return labels.join(", ");
  return `${labels.map((label, i) => `${label} (${count(measured[i]!.rows)})`).join(", ")}; in brackets: rows of the test set`;
}
