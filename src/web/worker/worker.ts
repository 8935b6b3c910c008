/** The page's worker: reads data, trains, classifies and stores, off the page's thread. */

import { joinPath } from "#platform";
import { defaultThreads } from "../../backend/wasm.ts";
import { ConfigError } from "../../core/errors.ts";
import { countBase } from "../../core/names.ts";
import { excerpt } from "../../core/pair.ts";
import type { Problem } from "../../data/problems.ts";
import { isOnHub } from "../../data/sets/named.ts";
import type { BaseModel } from "../../io/hf.ts";
import { loadAdapter } from "../../io/peft/open-adapter.ts";
import { possibleModes } from "../../model/trainable.ts";
import { FIRST_MESSAGE } from "../../platform/build.ts";
import { registerFile } from "../../platform/files.ts";
import { tellTouchPoints } from "../../platform/page-memory.ts";
import { recordOfAdapter } from "../../record/record.ts";
import { checkData } from "../../run/check.ts";
import { DEFAULT_OBJECTIVE, hasHead } from "../../tasks/index.ts";
import { rowsPerClass } from "../../train/class-weights.ts";
import { DEFAULTS, knownData } from "../../train/options.ts";
import type { RunSettings } from "../../train/settings.ts";
import { dataPreview, dataSummary } from "../../views/data.ts";
import {
  type Answer,
  type Call,
  type CorrectedRow,
  type DataReport,
  type ErrorReport,
  isUnderWay,
  type Machine,
  type ModelReport,
  type OtherForm,
  type PageRun,
  type PageSettings,
  type ReviewRow,
  type Takeable,
  type TakeReport,
  type WantedForm,
} from "../protocol.ts";
import { describeData, plainBlock, rowsFirst } from "./describe.ts";
import { emit, fetched } from "./emit.ts";
import { reportError, withoutFolders } from "./errors.ts";
import { bytesIn } from "./files/archive.ts";
import { load } from "./files/load.ts";
import {
  addExample,
  changeRun,
  forgetRun,
  listRuns,
  onRunsChanged,
  readRun,
  runFolder,
  untilNobodyTrains,
} from "./files/store.ts";
import { classify, influences, label, watch, write } from "./models.ts";
import { reviewLabels, writeCorrections } from "./review.ts";
import {
  addModel,
  forgetModel,
  listModels,
  loadOnce,
  nameData,
  openModel,
  pick,
  stopReading,
  whileReading,
  withPaths,
} from "./sources.ts";
import { machine } from "./train/machine.ts";
import { fetchData, fetchModel } from "./train/materials.ts";
import { estimate } from "./train/pace.ts";
import { addSeeds, compare, resume, start } from "./train/runs.ts";

/** What writes reports and exports, a fifth of all code: loaded when one is asked for. */
const takes = () => import("./files/download.ts");

/** Whether messages did not come with the page: what is wrong with them is looked for. */
const areOwn = ({ objective = DEFAULT_OBJECTIVE, dataset }: PageSettings) =>
  hasHead({ objective }) && (dataset === undefined || isOnHub(dataset));

/** What the page can ask for. */
const api = {
  /** How many touch points the page's screen has: a worker cannot ask. */
  tellTouchPoints: async (count: number) => tellTouchPoints(count),
  machine: async (): Promise<Machine> => ({ isolated: self.crossOriginIsolated, threads: defaultThreads() }),
  async openModel(name: string): Promise<ModelReport> {
    const { config, pooling, vocabulary } = await fetchModel(name);
    const hasChat = vocabulary.chat !== null;
    return { name, config, pooling, values: countBase(config), modes: possibleModes(config), hasChat };
  },
  /** Stores a model's files; returns the name for `openModel`. */
  async addModel(files: File[]): Promise<string> {
    try {
      return await addModel(files, (share) => emit({ type: "busy", text: "Storing the model in this browser", share }));
    } finally {
      emit({ type: "idle" });
    }
  },
  models: listModels,
  async forgetModel(name: string): Promise<void> {
    if (machine.group?.runs.some(({ model }) => model === name))
      throw new ConfigError("model-in-use", "This model is in use by a run", {
        hint: "stop the run first, or wait until it ends",
      });
    await forgetModel(name);
  },
  async readData(settings: PageSettings): Promise<DataReport> {
    const model = await fetchModel(settings.model);
    return whileReading(async () => {
      if (areOwn(settings)) return checkOwn(settings, model);
      const { data, options } = await fetchData(settings, model);
      return describeData(data, model, options.classWeights);
    });
  },
  stopReading: async () => stopReading(),
  /** The rows whose label is probably wrong, the worst first. */
  async review(settings: PageSettings): Promise<ReviewRow[]> {
    const model = await fetchModel(settings.model);
    return whileReading(async () => reviewLabels(settings, model));
  },
  /** A file of corrections, which is read with the data that they are of. */
  writeCorrections: async (rows: readonly CorrectedRow[]): Promise<Blob> => writeCorrections(rows),
  pick: async (files: File[]) => pick(files),
  estimate,
  async runs(): Promise<PageRun[]> {
    const runs = await listRuns();
    if (runs.some(({ state }) => state === "elsewhere")) void untilNobodyTrains().then(() => emit({ type: "runs" }));
    return runs.map((run) => machine.group?.of(run.id)?.run ?? run);
  },
  async sizes(): Promise<Record<string, number>> {
    const measured = (await listRuns()).map(
      async ({ id }) => [id, await bytesIn(runFolder(id)).catch(() => 0)] as const,
    );
    return Object.fromEntries(await Promise.all(measured));
  },
  start,
  compare,
  addSeeds,
  resume,
  pause: async () => machine.end("paused"),
  stop: async () => machine.end("stopped"),
  /** A model that comes with the page, of a bundled data set. */
  example: async (dataset: string): Promise<PageRun> => addExample(await openExample(dataset)),
  finish: async () => machine.group?.finish(),
  classify,
  watch,
  influences,
  label,
  stopLabelling: async () => machine.stop("labelling"),
  write,
  stopWriting: async () => machine.stop("writing"),
  /** What can be downloaded of a run that has trained parameters. */
  async take(id: string): Promise<TakeReport> {
    const run = await readRun(id);
    return (await takes()).takeReport(run, await openModel(run.model));
  },
  /** The forms in which other programs read it. */
  async forms(id: string): Promise<OtherForm[]> {
    const run = await readRun(id);
    return (await takes()).listForms(run, await openModel(run.model));
  },
  /** A zip of the adapter, of the whole run directory or of such a form, or an HTML file. */
  async download(id: string, what: Takeable | WantedForm): Promise<File> {
    const run = await readRun(id);
    return (await takes()).takeFile(run, what, () => openModel(run.model));
  },
  load,
  /** Notes why a run ended. */
  noteError: (id: string, error: ErrorReport) => changeRun(id, { error }),
  async forget(id: string): Promise<void> {
    const training = machine.group?.of(id);
    if (training && isUnderWay(training.run))
      throw new ConfigError("run-active", "This run is active", { hint: "stop it first" });
    // One of a comparison that is deleted before its turn has come does not begin.
    if (training) training.isDeleted = true;
    await forgetRun(id);
  },
};
export type Api = typeof api;

self.postMessage(FIRST_MESSAGE);

// For as long as this worker lives: see client.ts.
void navigator.locks.request(self.name, () => {
  emit({ type: "alive" });
  return new Promise(() => {});
});

self.addEventListener("messageerror", () => {
  throw new Error("it could not read a message of the page");
});

self.onmessage = async ({ data: { id, method, args } }: MessageEvent<Call>) => {
  try {
    const value = await (api[method as keyof Api] as (...args: unknown[]) => Promise<unknown>)(...args);
    self.postMessage({ id, value } satisfies Answer);
  } catch (error) {
    self.postMessage({ id, error: reportError(error) } satisfies Answer);
  }
};

onRunsChanged(() => emit({ type: "runs" }));

/** The files of an adapter, in data/adapters/NAME. */
const FILES = ["adapter_config.json", "adapter_model.safetensors", "lowrank.json", "lowrank.safetensors"];
const BASE = "gpt2-micro";

/** Opens the one of a bundled data set, as if it were loaded from a file; it is not stored. */
async function openExample(dataset: string): Promise<PageRun> {
  const id = `example-${dataset}`;
  for (const file of FILES) {
    const response = await fetch(new URL(`../../data/adapters/${dataset}/${file}`, import.meta.url));
    if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
    registerFile(joinPath(runFolder(id), "adapter", file), await response.blob());
  }
  const record = recordOfAdapter(await loadAdapter(runFolder(id), await openModel(BASE)), dataset);
  return { id, record, state: "loaded", model: BASE, device: "auto", usable: true, note: null, error: null };
}

/** Rows of a table that are shown, and characters of a cell. */
const SHOWN = { rows: 5, characters: 160 };

/** What `lowrank check` says of the visitor's data, laid out for the page. */
async function checkOwn({ adapter: _, ...asked }: PageSettings, model: BaseModel): Promise<DataReport> {
  const given = withPaths(asked);
  const check = await fetched(nameData(asked), (downloads) =>
    checkData(given, {
      complete: (settings) => settings,
      openModel: async () => model,
      load: (source, model, onTable) => loadOnce(source, model, downloads, onTable),
    }),
  );
  const { columns, rows, problems, readable, error } = check;
  const isNew = ([name]: [string, unknown]) => given[name as keyof RunSettings] === undefined;
  const summary = readable ? dataSummary(readable.data, classWeights(asked)) : [];
  const preview = readable && columns.length === 0 ? [await dataPreview(readable.data, model)] : [];
  return {
    known: readable ? knownData(readable.data) : {},
    testRows: readable?.data.stats.test.rows ?? 0,
    blocks: [...(columns.length > 0 && readable ? rowsFirst(summary) : summary), ...preview].map(plainBlock),
    columns,
    rows: rows.slice(0, SHOWN.rows).map((row) => row.map((cell) => excerpt(cell, SHOWN.characters) as string)),
    needs: Object.fromEntries(Object.entries(check.settings).filter(isNew)),
    // The last one is the error.
    problems: (error ? problems.slice(0, -1) : problems).map(plainProblem),
    error: error && reportError(error),
    ...{ samples: [], labels: readable && rowsPerClass(readable.data).length > 0 ? readable.data.labels : [] },
  };
}

const classWeights = ({ classWeights = DEFAULTS.classWeights }: RunSettings) => classWeights;

const plainProblem = ({ text, examples, ...problem }: Problem): Problem => ({
  ...problem,
  text: withoutFolders(text),
  examples: examples.map(withoutFolders),
});
