/** What is known of the visitor's own data before anything is trained on it. Loaded when there is some. */

import type { Problem } from "../../data/problems.ts";
import { isLabelled } from "../../data/training-data.ts";
import type { BaseModel } from "../../io/hf.ts";
import { excerpt } from "../../pair.ts";
import { checkData } from "../../run/check.ts";
import { TRAINING } from "../../tasks/training.ts";
import { DEFAULTS } from "../../train/options.ts";
import type { RunSettings } from "../../train/settings.ts";
import { dataPreview, dataSummary } from "../../views/data.ts";
import type { DataReport, PageSettings } from "../protocol.ts";
import { plainBlock, rowsFirst } from "./describe.ts";
import { fetched } from "./emit.ts";
import { reportError, withoutFolders } from "./errors.ts";
import { loadOnce, nameData, withPaths } from "./sources.ts";

/** Rows of a table that are shown, and characters of a cell. */
const SHOWN = { rows: 5, characters: 160 };

/** What `lowrank check` says of the visitor's data, laid out for the page. */
export async function checkOwn({ adapter: _, ...asked }: PageSettings, model: BaseModel): Promise<DataReport> {
  const given = withPaths(asked);
  const check = await fetched(nameData(asked), (downloads) =>
    checkData(given, {
      complete: (settings) => settings,
      openModel: async () => model,
      load: (source, model, onColumns) => loadOnce(source, model, downloads, onColumns),
    }),
  );
  const { columns, rows, problems, readable, error } = check;
  const isNew = ([name]: [string, unknown]) => given[name as keyof RunSettings] === undefined;
  const summary = readable ? dataSummary(readable.data, classWeights(asked)) : [];
  const preview = readable && columns.length === 0 ? [await dataPreview(readable.data, model)] : [];
  const hasOne = readable && isLabelled(readable.data) && TRAINING[readable.data.objective].labels === "class";
  return {
    trainRows: readable?.data.stats.train.rows ?? 0,
    testRows: readable?.data.stats.test.rows ?? 0,
    blocks: [...(columns.length > 0 && readable ? rowsFirst(summary) : summary), ...preview].map(plainBlock),
    columns,
    rows: rows.slice(0, SHOWN.rows).map((row) => row.map((cell) => excerpt(cell, SHOWN.characters) as string)),
    needs: Object.fromEntries(Object.entries(check.settings).filter(isNew)),
    // The last one is the error.
    problems: (error ? problems.slice(0, -1) : problems).map(plainProblem),
    error: error && reportError(error),
    ...{ samples: [], labels: hasOne ? readable.data.labels : [] },
  };
}

const classWeights = ({ classWeights = DEFAULTS.classWeights }: RunSettings) => classWeights;

const plainProblem = ({ text, examples, ...problem }: Problem): Problem => ({
  ...problem,
  text: withoutFolders(text),
  examples: examples.map(withoutFolders),
});
