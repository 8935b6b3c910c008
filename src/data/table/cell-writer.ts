/** Writes rows of cells into the memory of data.wasm, which reads them: see `take_cells` in assembly/data/reader.ts. */
import type { LowrankError } from "../../core/errors.ts";
import { placeOf, ROWS } from "../../core/places.ts";
import type { Pipeline } from "../pipeline.ts";
import { type CellRow, cellValue, checkSizes, Fault } from "./cells.ts";
import type { FoundNames } from "./column-facts.ts";

/** Rows with texts and labels. */
export interface CellRows {
  /** For errors. */
  name: string;
  found: FoundNames;
  /** The names of classes that are numbers; undefined: the labels are their names. */
  classes?: readonly string[] | undefined;
  /** Some at a time: with the cells of text, label, second text and further labels. */
  rows: AsyncIterable<readonly CellRow[]> | Iterable<readonly CellRow[]>;
}

/** The names of the cells of a row. */
export const cellNames = ({ textName, secondName, labelName, labelNames = [labelName] }: FoundNames) => [
  textName,
  labelNames[0]!,
  ...(secondName === undefined ? [] : [secondName]),
  ...labelNames.slice(1),
];

/** Bytes of rows that are read at a time, unless one is longer. */
const CHUNK_BYTES = 1 << 18;

const encoder = /* @__PURE__ */ new TextEncoder();

/**
 * Writes all rows; `rowError` is what stopped data.wasm. Throws DataError or FormatError for a row that is invalid or too
 * long.
 */
export async function writeCells(
  pipeline: Pipeline,
  { name, found, classes, rows }: CellRows,
  skipFaulty: boolean,
  rowError: () => LowrankError,
): Promise<void> {
  const wasm = pipeline.open();
  const names = cellNames(found);
  let [address, used, size] = [0, 0, 0];
  let bytes = new Uint8Array();
  let view = new DataView(bytes.buffer);
  /** Has the rows read, and makes room for one of `most` bytes. */
  const flush = (most: number) => {
    if (used > 0 && pipeline.open().feed(address, used) === 0) throw rowError();
    used = 0;
    if (address) wasm.free(address);
    address = wasm.alloc(Math.max(CHUNK_BYTES, most)) >>> 0;
    bytes = pipeline.module.bytes(address, Math.max(CHUNK_BYTES, most));
    view = new DataView(bytes.buffer, address);
  };
  const put = (value: string | Uint8Array | null) => {
    const at = used + 4;
    if (typeof value !== "string") bytes.set(value ?? [], at);
    used =
      at + (typeof value === "string" ? encoder.encodeInto(value, bytes.subarray(at)).written : (value?.length ?? 0));
    view.setInt32(at - 4, value === null ? -1 : used - at, true);
  };
  const add = ({ number, cells }: CellRow) => {
    const values = cells.map((cell, i) => {
      // data.wasm skips a row without a value, and reports it.
      if (skipFaulty && cell instanceof Fault) return null;
      const value = cellValue(cell, names[i]!, placeOf(name, number), true);
      // -1 is no class: an empty label.
      return i === 1 && classes && value === "-1" ? "" : value;
    });
    const length = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    size += length;
    // Rows in memory are there already, whatever their size.
    checkSizes(name, names, number, length, name === ROWS ? 0 : size);
    // A UTF-16 unit takes at most three bytes. If the memory has grown meanwhile, the view has none left.
    const most = 4 + 4 * values.length + 3 * length;
    if (used + most > bytes.length) flush(most);
    view.setInt32(used, number, true);
    used += 4;
    for (const value of values) put(value);
  };
  try {
    for await (const some of rows) for (const row of some) add(row);
    flush(0);
  } finally {
    if (address) wasm.free(address);
  }
}
