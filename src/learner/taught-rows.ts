/** The rows of a model, to look at and to change. */
import { checkArguments, isText } from "../core/checks.ts";
import { ConfigError, DataError } from "../core/errors.ts";
import type { TextOrList } from "../core/pair.ts";
import type { LabelledRow } from "../data/sets/memory-rows.ts";
import type { TaggedRow } from "../data/text/tagged.ts";
import type { TextRow } from "../data/text/texts.ts";
import type { RowSets, RowSource } from "./rows.ts";

/** A row that a model has learned ("train"), or is measured with. */
export type TaughtRow = (LabelledRow | TaggedRow | Exclude<TextRow, string>) & { set: keyof RowSets };

/** What rows are of a model, and how others are read for it. */
interface Keeper {
  get(): Promise<RowSets | null>;
  set(rows: RowSets): void;
  read(source: RowSource): Promise<readonly unknown[]>;
}

/** Its text, both of a pair, or its words, as a key. */
function keyOf(row: unknown): string {
  const { text, words } = row as Partial<LabelledRow & TaggedRow>;
  return JSON.stringify(text ?? words ?? row);
}

/** Of some rows those whose texts others do not have. */
export function notAmong(rows: readonly unknown[], others: RowSets): unknown[] {
  const known = new Set(Object.values(others).flat().map(keyOf));
  return rows.filter((row) => !known.has(keyOf(row)));
}

/**
 * The rows of a model: those that it has learned, and those that it is measured with. What is changed is learned by the
 * next `learn`, and is stored only by `save` with `{ rows: true }`. Each method throws ConfigError if they are not known,
 * as the model was saved without them.
 *
 * @example
 * ```ts
 * import { load } from "lowrank";
 *
 * await using model = await load("topics");
 * await model.rows.correct("where is my money", "refund");
 * await model.rows.forget("asdf");
 * await model.learn();
 * console.log((await model.rows.list()).length);
 * ```
 */
export class TaughtRows {
  /** @internal */
  constructor(private readonly keeper: Keeper) {}

  async list(): Promise<TaughtRow[]> {
    const { train, val, test } = await this.known();
    const list = (rows: readonly unknown[], set: keyof RowSets) =>
      rows.map((row) => ({ ...(isText(row) ? { text: row } : (row as LabelledRow)), set }));
    return [...list(train, "train"), ...list(val, "val"), ...list(test, "test")];
  }

  /** Adds rows to those that are learned, and learns nothing yet. */
  async add(rows: RowSource): Promise<void> {
    const [more, known] = [await this.keeper.read(rows), await this.known()];
    this.keeper.set({ ...known, train: [...more, ...known.train] });
  }

  /**
   * Gives all rows of a text, a pair of texts or a list of words another label, or labels, a score or tags. Returns how
   * many there are. Throws DataError if there is none.
   */
  correct(text: TextOrList, label: string | number | readonly string[]): Promise<number> {
    checkArguments({ text, label }, { text: "any", label: "any" });
    return this.change(text, (row) => [{ ...row, ["words" in row ? "tags" : "label"]: label }]);
  }

  /** Takes all rows of a text, a pair of texts or a list of words away. Returns how many. DataError: there is none. */
  forget(text: TextOrList): Promise<number> {
    return this.change(text, () => []);
  }

  private async change(text: TextOrList, become: (row: object) => readonly object[]): Promise<number> {
    const [rows, key] = [await this.known(), JSON.stringify(text)];
    let count = 0;
    const changed = (set: readonly unknown[]) =>
      set.flatMap((row) => {
        if (keyOf(row) !== key) return [row];
        count++;
        return become(row as object);
      });
    const next: RowSets = { train: changed(rows.train), val: changed(rows.val), test: changed(rows.test) };
    if (count === 0) throw new DataError("no-such-row", "the model has no row with this text", { found: key });
    this.keeper.set(next);
    return count;
  }

  private async known(): Promise<RowSets> {
    const rows = await this.keeper.get();
    if (!rows) throw rowsUnknown();
    return rows;
  }
}

export const rowsUnknown = (where?: string) =>
  new ConfigError("rows-unknown", "the rows that the model has learned are not known", {
    ...(where !== undefined && { where }),
    hint: "save it with { rows: true }",
  });
