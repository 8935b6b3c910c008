/** Folders as data: a folder a class, with a file for each text. */
import { joinPath, listDirectory, openFile } from "#platform";
import { ConfigError, DataError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { LIMITS } from "../../io/limits.ts";
import { checkSize } from "../../platform/reader.ts";
import type { ReadOptions } from "../corpus.ts";
import type { CellRows } from "../table/cell-writer.ts";
import { SETS, setNamed } from "../table/column-names.ts";
import { readText } from "../text/text-file.ts";

/** The names in a folder, sorted, without hidden ones; undefined: it is none. */
async function folderNames(path: string): Promise<string[] | undefined> {
  const names = await listDirectory(path).catch(() => undefined);
  // A registered file has itself in it, without a name.
  return names?.filter((name) => name !== "" && !name.startsWith(".")).sort();
}

/** Texts without a class in a set of this kind. */
const WITHOUT_CLASS = "unsup";

const isText = (name: string) => /(^[^.]*|\.(txt|text|md))$/i.test(name);

/** The texts in the folders of classes. Throws DataError, FormatError for a file that is no text. */
export function folderRows(path: string, read: ReadOptions): CellRows {
  const stray = (["textColumn", "labelColumn"] as const).find((name) => read[name] !== undefined);
  if (stray !== undefined)
    throw new ConfigError("option-without-effect", `${setting(stray)} has no effect on a folder of classes`, {
      where: path,
      expected: "no columns",
      found: setting(stray, read[stray]),
    });
  return { name: path, found: { textName: "text", labelName: "label" }, rows: readFolder(path, read.encoding) };
}

async function* readFolder(path: string, encoding: string | undefined) {
  let number = 0;
  for (const label of (await folderNames(path)) ?? []) {
    const names = label === WITHOUT_CLASS ? [] : ((await folderNames(joinPath(path, label))) ?? []);
    for (const name of names.filter(isText)) {
      const file = await openFile(joinPath(path, label, name));
      try {
        checkSize(file, LIMITS.line);
        const text = new TextDecoder().decode(await readText(file, encoding));
        yield [{ number: ++number, cells: [text.trim(), label] }];
      } finally {
        await file.close();
      }
    }
  }
  if (number === 0)
    throw new DataError("no-rows", "The folder has no texts", {
      where: path,
      expected: "a folder for each class, with a .txt file for each text",
    });
}

/** The folders of a training and a test set in a folder, and of a validation set if there is one; null: there are none. */
export async function folderSets(path: string) {
  const names = (await folderNames(path)) ?? [];
  const [train, val, test] = Object.keys(SETS).map((set) => {
    const name = names.find((one) => setNamed(one) === set);
    return name === undefined ? undefined : { name, files: [joinPath(path, name)] };
  });
  return train && test ? { train, val, test } : null;
}
