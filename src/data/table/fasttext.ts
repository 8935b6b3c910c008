/** Files of fastText: a line has its labels, `__label__NAME` each, and the words of its text. */
import { bytesReader, type FileReader } from "../../platform/reader.ts";
import type { ReadOptions } from "../corpus.ts";
import { checkUtf8, utf8Pieces } from "./encoding.ts";
import { LABEL_SEPARATOR } from "./labels.ts";
import { Lines, refuseColumns } from "./lines.ts";

const PREFIX = "__label__";

/** Bytes that are read at a time. */
const PIECE = 1 << 18;

/** Whether a file begins with a label. */
export async function isFastText(file: FileReader): Promise<boolean> {
  const head = await file.read(0, Math.min(PREFIX.length, file.size));
  return new TextDecoder("latin1").decode(head) === PREFIX;
}

/** Its lines as JSON lines; several labels have the separator between them. */
export async function fastTextLines(file: FileReader, read: ReadOptions) {
  const { encoding, labelSeparator = LABEL_SEPARATOR } = read;
  refuseColumns(read, file.name, "a file of fastText");
  await checkUtf8(file, encoding);
  const lines = new Lines(file.name, ["text", "label"]);
  const decoder = new TextDecoder();
  let [rest, number] = ["", 0];
  const add = (line: string) => {
    number++;
    const words = line.split(/\s+/).filter((word) => word !== "");
    if (words.length === 0) return;
    const labels = words.filter((word) => word.startsWith(PREFIX)).map((word) => word.slice(PREFIX.length));
    const text = words.filter((word) => !word.startsWith(PREFIX)).join(" ");
    lines.add(JSON.stringify({ text, label: labels.join(labelSeparator) }), number);
  };
  for await (const piece of utf8Pieces(file, PIECE, encoding)) {
    const found = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = found.pop()!;
    for (const line of found) add(line);
  }
  add(rest + decoder.decode());
  return { lines: bytesReader(file.name, await lines.bytes()), found: { textName: "text", labelName: "label" } };
}
