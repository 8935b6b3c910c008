/** Whether the tensors of a PEFT adapter that does not fit its base model are those for another one. */
import { ConfigError } from "../errors.ts";
import type { Shape } from "../tensor.ts";
import type { PeftConfig } from "./peft-config.ts";
import type { ImportEntry, PeftBase } from "./peft-form.ts";

type Entries = ReadonlyMap<string, ImportEntry>;

/**
 * The error for an adapter of a model with more blocks, fewer, or another token table; undefined if its tensors tell
 * neither. `entries`: what the given base model would have, where that is known.
 */
export function findOtherBase(
  { base_model_name_or_path: name }: PeftConfig,
  peft: ReadonlyMap<string, Shape>,
  entries: Entries = new Map(),
  { config, directory = "the given base model" }: PeftBase,
  where: string,
): ConfigError | undefined {
  const { n_layer, vocab_size } = config;
  const blocks = [...peft.keys()].reduce((most, key) => Math.max(most, blockOf(key) + 1), 0);
  const lacked = [...entries.keys()].filter((key) => !peft.has(key));
  // It lacks nothing of the first blocks, and all of the others.
  const isShort = blocks > 0 && lacked.length > 0 && lacked.every((key) => blockOf(key) >= blocks);
  const rows = tokenRows(peft, entries, vocab_size);
  const cases: [isOther: boolean, theirs: string, ours: string][] = [
    [blocks > n_layer, `n_layer >= ${blocks}`, `n_layer = ${n_layer}`],
    [isShort, `n_layer = ${blocks}`, `n_layer = ${n_layer}`],
    [rows !== undefined, `vocab_size = ${rows}`, `vocab_size = ${vocab_size}`],
  ];
  const found = cases.find(([isOther]) => isOther);
  if (!found) return undefined;
  const [, theirs, ours] = found;
  return new ConfigError("wrong-base-model", "the adapter belongs to another base model", {
    where,
    expected: `${theirs} (${name || "its base model"})`,
    found: `${ours} (${directory})`,
    hint: "give the base model that the adapter was trained on: --model DIR",
  });
}

/** The index of the block that a tensor is of; -1: of none. */
const blockOf = (key: string) => Number(/\.(?:h|layers)\.(\d+)\./.exec(key)?.[1] ?? -1);

/** The rows of the token table in the file, or those that an adapter of it is for, if they are not as `expected`. */
function tokenRows(peft: ReadonlyMap<string, Shape>, entries: Entries, expected: number): number | undefined {
  return [...entries]
    .filter(([key]) => /\.(wte|embed_tokens|lm_head)\./.test(key))
    .map(([key, { shape = [] }]) => peft.get(key)?.[shape.indexOf(expected)])
    .find((rows) => rows !== undefined && rows !== expected);
}
