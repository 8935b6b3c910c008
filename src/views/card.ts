/**
 * What a model card says of a run: what it was trained on, how, and what it has reached. It has no text of the data: a
 * card is for everybody, and the texts may be a person's.
 */

import { formatCount } from "../core/format.ts";
import { type Block, heading, makeTable, type Table, text } from "../document/blocks.ts";
import { takesSteps } from "../methods/index.ts";
import { describeMethod } from "../methods/training.ts";
import { findBundled } from "../record/describe-data.ts";
import { dataName, type RunRecord } from "../record/record.ts";
import { TRAINING } from "../tasks/training.ts";
import { WORDS } from "../tasks/words.ts";
import { DEFAULTS, ofMode } from "../train/options.ts";
import { SETTING_NAMES } from "../train/settings.ts";
import { toMarkdown } from "./markdown.ts";
import { resultBlocks } from "./run.ts";
import { describeAnswer, headline } from "./verdicts.ts";

export function describeForCard(record: RunRecord): string {
  const untested = record.results ? null : headline(record);
  const results = untested
    ? [text(`${untested}.`)]
    : record.results
      ? [text(describeAnswer(record)), ...publicBlocks(resultBlocks(record))]
      : [];
  const blocks: Block[] = [
    heading("Training"),
    factsTable(record),
    ...(results.length > 0 ? [heading("Results"), ...results] : []),
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

/** A fact, unless its value is null. */
export type Fact = readonly [name: string, value: string | null];

export function factsTable(record: RunRecord, more: readonly Fact[] = []): Table {
  const { options, counts, objective } = record;
  const data = dataName(record);
  const about = findBundled(record);
  const [train, val, test] = counts.rows.map(formatCount);
  const facts: Fact[] = [
    ["Method", describeMethod(options)],
    ["Data", about ? `${data}: ${about.title}` : data],
    ["Licence of the data", about?.license ?? null],
    ["Sets", `${train} ${WORDS[objective].units.rows} for training, ${val} for validation, ${test} for the test`],
    ["Settings", showSettings(record)],
    ...more,
    ["Lowrank", record.lowrank],
  ];
  return makeTable<Fact>(
    "facts",
    "What it was trained on, and how",
    [
      { title: "What", key: "what", value: ([name]) => name },
      { title: "Value", key: "value", value: ([, value]) => value },
    ],
    facts.filter(([, value]) => value !== null),
  );
}

/** The settings that matter most, and those that are not the defaults: "epochs 3, batchSize 8, lr 0.001, seed 1". */
function showSettings({ options, objective }: RunRecord): string {
  // A classic model's are chosen on the validation set.
  if (!takesSteps(options.mode)) return `seed ${options.seed}`;
  const shown = ["epochs", "batchSize", "lr", "seed"];
  const ofMethod = ofMode(options, options.mode);
  const { lacks } = TRAINING[objective];
  return SETTING_NAMES.filter((name) => name in ofMethod && !(name in lacks))
    .filter((name) => shown.includes(name) || JSON.stringify(ofMethod[name]) !== JSON.stringify(DEFAULTS[name]))
    .map((name) => `${name} ${[ofMethod[name]].flat().join(" ")}`)
    .join(", ");
}
