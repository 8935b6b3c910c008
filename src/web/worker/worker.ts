/** The page's worker: reads data, trains, classifies and stores, off the page's thread. */
import { describeDevice } from "../../backend/backend.ts";
import { defaultThreads } from "../../backend/wasm.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import type { LoadedTexts } from "../../data/texts.ts";
import { ConfigError } from "../../errors.ts";
import { possibleModes } from "../../model/trainable.ts";
import { countBase } from "../../names.ts";
import { FIRST_MESSAGE } from "../../platform/build.ts";
import { tellTouchPoints } from "../../platform/page-memory.ts";
import type { Answer, Api, Call } from "../protocol.ts";
import { isUnderWay } from "../protocol.ts";
import { describeColumns, describeData } from "./describe.ts";
import { pageDevice } from "./devices.ts";
import { emit } from "./emit.ts";
import { reportError } from "./errors.ts";
import { load } from "./load.ts";
import { machine } from "./machine.ts";
import { fetchData, fetchModel } from "./materials.ts";
import { classify, influences, label, write } from "./models.ts";
import { estimate } from "./pace.ts";
import { compare, resume, start } from "./runs.ts";
import { addModel, firstRows, forgetModel, listModels, openModel, pick } from "./sources.ts";
import { changeRun, listRuns, onRunsChanged, purge, readRun, untilNobodyTrains } from "./store.ts";
import { describeTexts } from "./texts.ts";

/** The run that is trained, of this id. */
const trainedRun = (id: string) => machine.group?.of(id)?.run;

/** A run of a comparison that is deleted before its turn has come does not begin. */
async function setDeleted(id: string, deleted: boolean): Promise<void> {
  const run = trainedRun(id);
  if (run) run.deleted = deleted;
  await changeRun(id, { deleted });
}

const api: Api = {
  tellTouchPoints: async (count) => tellTouchPoints(count),
  machine: async () => ({ isolated: self.crossOriginIsolated, threads: defaultThreads() }),
  async openDevice(name) {
    const { info } = await pageDevice(name);
    return { kind: info.kind, text: describeDevice(info) };
  },
  async openModel(name) {
    const { config, vocabulary } = await fetchModel(name);
    const hasChat = vocabulary.chat !== null;
    return { name, config, values: countBase(config), modes: possibleModes(config), hasChat };
  },
  async addModel(files) {
    try {
      return await addModel(files, (share) => emit({ type: "busy", text: "Storing the model in this browser", share }));
    } finally {
      emit({ type: "idle" });
    }
  },
  models: listModels,
  async forgetModel(name) {
    if (machine.group?.runs.some(({ model }) => model === name))
      throw new ConfigError("model-in-use", "This model is in use by a run", {
        hint: "stop the run first, or wait until it ends",
      });
    await forgetModel(name);
  },
  async pickData(file, encoding) {
    pick([file]);
    return describeColumns(await firstRows(file.name, encoding), file.name);
  },
  async readData(settings) {
    const { data: files, encoding } = settings;
    const { data, options } = await fetchData(settings, await fetchModel(settings.model));
    const [file] = [files ?? []].flat();
    const columns =
      file === undefined
        ? { columns: [], text: null, label: null }
        : describeColumns(await firstRows(file, encoding), file);
    return describeData(data as LoadedDataset, columns, options.classWeights);
  },
  pick: async (files) => pick(files),
  async readTexts(settings) {
    const model = await fetchModel(settings.model);
    const { data } = await fetchData(settings, model);
    return describeTexts(data as LoadedTexts, settings, model);
  },
  estimate,
  async runs() {
    const runs = await listRuns();
    if (runs.some(({ state }) => state === "elsewhere")) void untilNobodyTrains().then(() => emit({ type: "runs" }));
    return runs.map((run) => trainedRun(run.id) ?? run);
  },
  start,
  compare,
  async resume(id, device) {
    await resume(id, device);
  },
  pause: async () => machine.end("paused"),
  stop: async () => machine.end("stopped"),
  classify,
  influences,
  label,
  stopLabelling: async () => machine.stop("labelling"),
  write,
  stopWriting: async () => machine.stop("writing"),
  async take(id) {
    const run = await readRun(id);
    return (await import("./take.ts")).takeReport(run, await openModel(run.model));
  },
  async forms(id, sections) {
    const run = await readRun(id);
    return (await import("./forms.ts")).listForms(run, await openModel(run.model), sections);
  },
  async download(id, what, sections) {
    const run = await readRun(id);
    return (await import("./take.ts")).takeFile(run, what, sections, () => openModel(run.model));
  },
  load,
  async change(id, change) {
    const run = trainedRun(id);
    if (run) emit({ type: "run", run: Object.assign(run, change), speed: null });
    await changeRun(id, change);
  },
  async forget(id) {
    const run = trainedRun(id);
    if (run && isUnderWay(run)) throw new ConfigError("run-active", "This run is active", { hint: "stop it first" });
    await setDeleted(id, true);
  },
  unforget: (id) => setDeleted(id, false),
  purge,
};

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
    const value = await (api[method] as (...args: unknown[]) => Promise<unknown>)(...args);
    self.postMessage({ id, value } satisfies Answer);
  } catch (error) {
    self.postMessage({ id, error: reportError(error) } satisfies Answer);
  }
};

onRunsChanged(() => emit({ type: "runs" }));
