/** Tables as `classify --in` opens them. */
import { openTable, type TableOptions } from "../../src/infer/table/open-table.ts";
import type { TableRow } from "../../src/infer/table/table.ts";
import { forgetFile, registerFile } from "../../src/platform/files.ts";
import type { FileReader } from "../../src/platform/reader.ts";

/** What a table to label has: its texts, all bytes of its rows, the names of its columns. */
export async function readToLabel(file: FileReader, options: TableOptions = {}) {
  registerFile(file.name, new Blob([(await file.read(0, file.size)) as Uint8Array<ArrayBuffer>]));
  try {
    const table = await openTable(file.name, options);
    const rows: TableRow[] = [];
    for await (const some of table.rows()) rows.push(...some);
    await table.close();
    const { names, textColumn, format } = table;
    const bytes = Buffer.concat(rows.map(({ bytes }) => bytes)).toString();
    return { names, textColumn, format, bytes, texts: rows.flatMap(({ text }) => (text === null ? [] : [text])) };
  } finally {
    forgetFile(file.name);
  }
}
