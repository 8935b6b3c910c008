/** The page's worker: reads data, trains, classifies and stores, off the page's thread. */
import { defaultThreads } from "../../backend/wasm.ts";
import { isOnHub } from "../../data/sets/named.ts";
import { ConfigError } from "../../errors.ts";
import { possibleModes } from "../../model/trainable.ts";
import { countBase } from "../../names.ts";
import { FIRST_MESSAGE } from "../../platform/build.ts";
import { tellTouchPoints } from "../../platform/page-memory.ts";
import { DEFAULT_OBJECTIVE, hasHead } from "../../tasks/index.ts";
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
import { describeData } from "./describe.ts";
import { emit } from "./emit.ts";
import { reportError } from "./errors.ts";
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
import { classify, influences, label, nearest, stopAlike, testMap, watch, write } from "./models.ts";
import { addModel, forgetModel, listModels, openModel, pick, stopReading, whileReading } from "./sources.ts";
import { machine } from "./train/machine.ts";
import { fetchData, fetchModel } from "./train/materials.ts";
import { estimate } from "./train/pace.ts";
import { addSeeds, compare, resume, start } from "./train/runs.ts";

/** Whether messages did not come with the page: what is wrong with them is looked for. */
const areOwn = ({ objective = DEFAULT_OBJECTIVE, dataset }: PageSettings) =>
  hasHead({ objective }) && (dataset === undefined || isOnHub(dataset));

/** What the page can ask for. */
const api = {
  /** How many touch points the page's screen has: a worker cannot ask. */
  tellTouchPoints: async (count: number) => tellTouchPoints(count),
  machine: async (): Promise<Machine> => ({ isolated: self.crossOriginIsolated, threads: defaultThreads() }),
  async openModel(name: string): Promise<ModelReport> {
    const { config, vocabulary } = await fetchModel(name);
    const hasChat = vocabulary.chat !== null;
    return { name, config, values: countBase(config), modes: possibleModes(config), hasChat };
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
      if (areOwn(settings)) return (await import("./check.ts")).checkOwn(settings, model);
      const { data, options } = await fetchData(settings, model);
      return describeData(data, model, options.classWeights);
    });
  },
  stopReading: async () => stopReading(),
  /** The rows whose label is probably wrong, the worst first. */
  async review(settings: PageSettings): Promise<ReviewRow[]> {
    const model = await fetchModel(settings.model);
    return whileReading(async () => (await import("./review.ts")).reviewLabels(settings, model));
  },
  /** A file of corrections, which is read with the data that they are of. */
  writeCorrections: async (rows: readonly CorrectedRow[]): Promise<Blob> =>
    (await import("./review.ts")).writeCorrections(rows),
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
  example: async (dataset: string): Promise<PageRun> =>
    addExample(await (await import("./examples.ts")).openExample(dataset)),
  finish: async () => machine.group?.finish(),
  classify,
  watch,
  influences,
  nearest,
  testMap,
  stopAlike,
  label,
  stopLabelling: async () => machine.stop("labelling"),
  write,
  stopWriting: async () => machine.stop("writing"),
  /** What can be downloaded of a run that has trained parameters. */
  async take(id: string): Promise<TakeReport> {
    const run = await readRun(id);
    return (await import("./files/download.ts")).takeReport(run, await openModel(run.model));
  },
  /**
   * The forms in which other programs read it. `sections`: what the run says of itself in the model card; null: nothing
   * is known of its training.
   */
  async forms(id: string, sections: string | null): Promise<OtherForm[]> {
    const run = await readRun(id);
    return (await import("./files/forms.ts")).listForms(run, await openModel(run.model), sections);
  },
  /** A zip of the adapter, of the whole run directory or of such a form, or an HTML file. */
  async download(id: string, what: Takeable | WantedForm, sections: string | null): Promise<File> {
    const run = await readRun(id);
    return (await import("./files/download.ts")).takeFile(run, what, sections, () => openModel(run.model));
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
