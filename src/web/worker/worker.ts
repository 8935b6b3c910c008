/** The page's worker: reads data, trains, classifies and stores, off the page's thread. */

import { type Backend, describeDevice } from "../../backend/backend.ts";
import { defaultThreads } from "../../backend/wasm.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import type { LoadedTexts } from "../../data/texts.ts";
import { ConfigError, DeviceError } from "../../errors.ts";
import { Classifier } from "../../infer/classifier.ts";
import type { DownloadEvent, DownloadOptions } from "../../io/download-options.ts";
import type { GPT2Checkpoint } from "../../io/hf.ts";
import { loadAdapter } from "../../io/open-adapter.ts";
import type { Adapter } from "../../io/peft.ts";
import { baseShapes } from "../../names.ts";
import { finishReplacing } from "../../platform/replacing.ts";
import { givenTextColumn } from "../../run/files.ts";
import type { Speed } from "../../run/live-run.ts";
import { countParameters, dataName, describeMethod } from "../../run/record.ts";
import { numel } from "../../tensor.ts";
import type { TrainOptions } from "../../train/options.ts";
import { completeOptions, type PreparedRun, prepareRun } from "../../train/prepare.ts";
import { peakMemory } from "../../train/records.ts";
import { checkFits } from "../../train/sizes.ts";
import type {
  Answer,
  Api,
  Call,
  DeviceReport,
  ErrorReport,
  Event,
  LabelReport,
  LabelRequest,
  PageRun,
  PageSettings,
  WriteReport,
  WriteRequest,
} from "../protocol.ts";
import { findCompanions, isUnderWay, nextRun } from "../protocol.ts";
import { methodSettings } from "./compare.ts";
import { describeColumns, describeData } from "./describe.ts";
import { dropDevice, pageDevice } from "./devices.ts";
import { reportError, reportOfRun } from "./errors.ts";
import { TrainingGroup } from "./group.ts";
import { Learned } from "./learned.ts";
import { load } from "./load.ts";
import { estimateSeconds } from "./pace.ts";
import { checkUnchanged, keepFiles, openStart, reopenData } from "./run-files.ts";
import { addModel, firstRows, forgetModel, listModels, nameData, openData, openModel, pick } from "./sources.ts";
import {
  changeRun,
  keepRun,
  listRuns,
  newId,
  onRunsChanged,
  purge,
  readRun,
  runFolder,
  untilNobodyTrains,
  whileOnlyTrainer,
} from "./store.ts";
import { takeFile, takeReport } from "./take.ts";
import { Tester, type Trained } from "./tester.ts";
import { describeTexts } from "./texts.ts";
import { type Materials, newRun } from "./training.ts";
import type { Writer } from "./writer.ts";

/** An error with a report that has a remedy. */
class Refused extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.summary);
  }
}

const emit = (event: Event) => self.postMessage(event);

/** What is trained at the moment. */
let group: TrainingGroup | undefined;
/** How the visitor has ended it, or what a comparison is about to begin. */
let ending: "paused" | "stopped" | undefined;
const tester = new Tester();
let writer: Writer | undefined;
let writing = new AbortController();
let labelling = new AbortController();
/** Whether a run is active or about to begin. */
let taken = false;
const learned = new Learned();
/** The measurement of a scaled model, which a run and the next one end. */
let measuring = new AbortController();

function deviceReport({ info }: Backend): DeviceReport {
  return { kind: info.kind, text: describeDevice(info) };
}

/** Milliseconds between two reports of labelled rows. */
const EMIT_EVERY = 200;
/** Milliseconds before the page says that something is being opened. */
const PATIENCE = 300;

/** Opens something, and downloads it first if necessary. */
async function fetched<T>(name: string, open: (downloads: DownloadOptions) => Promise<T>): Promise<T> {
  let said = false;
  const say = (text: string, share: number | null = null) => {
    said = true;
    emit({ type: "busy", text, share });
  };
  const timer = setTimeout(() => say(`Opening ${name} …`), PATIENCE);
  const onProgress = ({ status, name, file, loaded, total }: DownloadEvent) => {
    if (status !== "done") say(`Downloading ${name}: ${file}`, total ? loaded / total : null);
  };
  try {
    return await open({ onProgress });
  } finally {
    clearTimeout(timer);
    if (said) emit({ type: "idle" });
  }
}

const fetchModel = (name: string): Promise<GPT2Checkpoint> => fetched(name, (downloads) => openModel(name, downloads));

/** What a run is made of, with all its options. */
type Opened = Materials & { options: TrainOptions };

/** Opens what a new run is made of. */
async function openSettings(settings: PageSettings): Promise<Opened> {
  const device = await pageDevice(settings.device);
  const model = await fetchModel(settings.model);
  const adapter = settings.adapter === undefined ? undefined : await loadAdapter(runFolder(settings.adapter), model);
  return { device, model, ...(await fetchData(settings, model, adapter)), ...(adapter ? { adapter } : {}) };
}

const fetchData = (settings: PageSettings, model: GPT2Checkpoint, adapter?: Adapter) =>
  fetched(nameData(settings), (downloads) => openData(settings, model, downloads, adapter));

/** Opens what a stored run is made of. Throws ConfigError if that is not what it began with. */
async function reopen(run: PageRun): Promise<Materials> {
  await finishReplacing(runFolder(run.id));
  const device = await pageDevice(run.device);
  const model = await fetchModel(run.model);
  const data = await fetched(dataName(run.record), (downloads) => reopenData(run, model, downloads));
  await checkUnchanged(run, model, data);
  const adapter = await openStart(run, model);
  return { device, model, data, ...(adapter ? { adapter } : {}) };
}

/** Begins the run that `make` returns. Progress is reported by events. Resolves when the run has begun. */
async function begin(make: () => Promise<Parameters<typeof train>>): Promise<string> {
  if (taken)
    throw new ConfigError("run-active", "A run is already active", { hint: "stop it first, or wait until it ends" });
  taken = true;
  ending = undefined;
  measuring.abort();
  void learned.close();
  try {
    return await train(...(await make()));
  } catch (error) {
    taken = false;
    throw error;
  }
}

/**
 * Trains a run, from the adapter of the run `from`, if no other tab does, then the runs that follow in its comparison;
 * resolves when the first has begun.
 */
function train(first: PageRun, materials: Materials, from?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    whileOnlyTrainer(async () => {
      try {
        await keepFiles(first, from);
        await trainCompared(first, materials, () => resolve(first.id));
        for (let run = nextRun(first, await listRuns()); run; run = nextRun(run, await listRuns())) await follow(run);
      } finally {
        taken = false;
      }
      return true;
    }).then((done) => {
      if (done) return;
      reject(
        new ConfigError("used-by-another-process", "Another tab of this page is training", {
          hint: "stop the run there, or wait until it ends",
        }),
      );
    }, reject);
  });
}

/** Trains a run and the others of its comparison. */
async function trainCompared(run: PageRun, materials: Materials, began = () => {}): Promise<void> {
  const companions = findCompanions(run, await listRuns());
  const report = (run: PageRun, speed: Speed | null) => emit({ type: "run", run, speed });
  group = new TrainingGroup(run, companions, materials, report);
  const { runs } = group;
  if (ending) group.stop(ending);
  began();
  try {
    await group.work();
  } finally {
    group = undefined;
    if (runs.some(({ error }) => error?.name === "DeviceError")) await giveUp(materials.device);
  }
}

function end(how: "paused" | "stopped"): void {
  ending = how;
  group?.stop(how);
}

/** Continues a comparison after a device has failed or a run could not begin. A run that cannot begin now fails. */
async function follow(run: PageRun): Promise<void> {
  try {
    await trainCompared(run, await reopen(run));
  } catch (error) {
    Object.assign(run, { state: "failed", error: reportError(error) });
    await keepRun(run);
    emit({ type: "run", run, speed: null });
  }
}

/** Closes a device that has failed, and the models on it. */
async function giveUp(device: Backend): Promise<void> {
  tester.close();
  writer?.close();
  await learned.close();
  await dropDevice(device);
}

/** Generates text. The code is loaded at the first call. */
async function write(request: WriteRequest): Promise<WriteReport> {
  writing = new AbortController();
  const { signal } = writing;
  const { adapter: id } = request;
  const run = id === null ? null : await readRun(id);
  // A stopped run has another adapter after it was resumed.
  const adapter = run ? { name: `${run.id} ${run.record.seconds}`, directory: runFolder(run.id) } : null;
  const name = run?.model ?? request.model;
  const device = await pageDevice(request.device);
  const model = await fetchModel(name);
  writer ??= new (await import("./writer.ts")).Writer();
  try {
    return await writer.write({ device, model, adapter }, request, signal, (chunk, seconds) =>
      emit({ type: "written", chunk, seconds }),
    );
  } catch (error) {
    // A run closes its failed device in `train`.
    if (error instanceof DeviceError && !taken) await giveUp(device);
    throw error;
  }
}

/** Labels a table. The code is loaded at the first call. */
async function label(id: string, source: File | string, request: LabelRequest): Promise<LabelReport> {
  stopLabelling();
  labelling = new AbortController();
  const { signal } = labelling;
  const trained = await latestTrained(id);
  const likelyTextColumn = await givenTextColumn(runFolder(id));
  const { labelSource } = await import("./label.ts");
  // A classifier of its own, because the tester's follows what the visitor looks at.
  const classifier = await Classifier.of(trained, trained.model, trained.device);
  let emitted = 0;
  const onProgress = (rows: number, total: number) => {
    if (performance.now() - emitted < EMIT_EVERY) return;
    emitted = performance.now();
    emit({ type: "labelled", rows, total });
  };
  try {
    return await labelSource(classifier, source, { ...request, likelyTextColumn, signal, onProgress });
  } catch (error) {
    // A run closes its failed device in `train`.
    if (error instanceof DeviceError && !taken) await giveUp(trained.device);
    throw error;
  } finally {
    classifier.destroy();
  }
}

function stopLabelling(): void {
  labelling.abort(new DOMException("Labelling was stopped", "AbortError"));
}

async function accuracyAt(id: string, scale: number): Promise<number | null> {
  measuring.abort();
  if (taken) return null;
  measuring = new AbortController();
  const { signal } = measuring;
  try {
    return await learned.accuracyAt(await latestTrained(id), await readRun(id), scale, signal);
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

/** The trained parameters of a run: from memory while it trains, else from its files. */
async function latestTrained(id: string): Promise<Trained> {
  const training = group?.of(id);
  if (training && isUnderWay(training.run)) {
    const { latest, meta, run } = training;
    if (!latest)
      throw new ConfigError("no-trained-parameters", "This run has no trained parameters yet", {
        hint: "wait for its first evaluation",
      });
    return { ...(await studyParts(run)), meta, tensors: latest };
  }
  const run = await readRun(id);
  const parts = await studyParts(run);
  // A stopped run has another adapter after it was resumed.
  const key = `${id} ${run.record.seconds}`;
  if (loaded?.key !== key) loaded = { key, adapter: await loadAdapter(runFolder(id), parts.model) };
  return { ...parts, ...loaded.adapter };
}
/** The adapter that was loaded last. */
let loaded: { key: string; adapter: Awaited<ReturnType<typeof loadAdapter>> } | undefined;

async function studyParts({ id, model, device, record }: PageRun) {
  const backend = await pageDevice(device);
  return { id, seed: record.options.seed, model: await openModel(model), device: backend };
}

/** A run of a comparison that is deleted before its turn has come does not begin. */
async function setDeleted(id: string, deleted: boolean): Promise<void> {
  const active = group?.of(id)?.run;
  if (active) active.deleted = deleted;
  await changeRun(id, { deleted });
}

const api: Api = {
  machine: async () => ({ isolated: self.crossOriginIsolated, threads: defaultThreads() }),
  openDevice: async (name) => deviceReport(await pageDevice(name)),
  async openModel(name) {
    const { config } = await fetchModel(name);
    return { name, config, values: [...baseShapes(config).values()].reduce((sum, shape) => sum + numel(shape), 0) };
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
    if (group?.runs.some(({ model }) => model === name))
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
  async estimate(settings) {
    const { options, ...materials } = await openSettings(settings);
    const run = { ...materials, ...options };
    let prepared: PreparedRun;
    try {
      prepared = prepareRun(run);
      checkFits(run, prepared, completeOptions(run));
    } catch (error) {
      throw new Refused(reportOfRun(error, run));
    }
    const { total: steps, stepsPerEpoch } = prepared.stepCounts;
    return {
      trainable: prepared.trainable,
      values: countParameters(prepared.spec),
      bytes: peakMemory(prepared),
      steps,
      stepsPerEpoch,
      seconds: estimateSeconds(prepared, run.device.info, defaultThreads(), await listRuns()),
    };
  },
  async runs() {
    const runs = await listRuns();
    if (runs.some(({ state }) => state === "elsewhere")) void untilNobodyTrains().then(() => emit({ type: "runs" }));
    return runs.map((run) => group?.of(run.id)?.run ?? run);
  },
  start: (settings) =>
    begin(async () => {
      const { adapter: from } = settings;
      const { options, ...materials } = await openSettings(settings);
      // The other run may be deleted.
      const named =
        from === undefined ? settings : { ...settings, adapter: describeMethod((await readRun(from)).record.options) };
      return [await newRun(named, materials, options), materials, from];
    }),
  async compare(settings) {
    const methods = methodSettings(settings, (await fetchModel(settings.model)).config);
    const comparison = newId();
    const begun = Date.now();
    const runs: PageRun[] = [];
    for (const [i, method] of methods.entries()) {
      const { options, ...materials } = await openSettings(method);
      const run: PageRun = { ...(await newRun(method, materials, options)), state: "waiting", comparison };
      run.record.created = begun + i;
      await keepFiles(run);
      await keepRun(run);
      runs.push(run);
    }
    emit({ type: "runs" });
    await api.resume(runs[0]!.id);
    return runs[0]!.id;
  },
  resume: (id, name) =>
    begin(async () => {
      const run = await readRun(id);
      if (name) run.device = name;
      return [run, await reopen(run)];
    }).then(() => {}),
  label,
  stopLabelling: async () => stopLabelling(),
  pause: async () => end("paused"),
  stop: async () => end("stopped"),
  classify: async (id, text) => tester.classify(await latestTrained(id), text),
  async take(id) {
    const run = await readRun(id);
    return takeReport(run, await openModel(run.model));
  },
  async download(id, what) {
    const run = await readRun(id);
    return takeFile(run, what, () => openModel(run.model));
  },
  load,
  write,
  stopWriting: async () => writing.abort(),
  async change(id, change) {
    const active = group?.of(id)?.run;
    if (active) emit({ type: "run", run: Object.assign(active, change), speed: null });
    await changeRun(id, change);
  },
  async forget(id) {
    const active = group?.of(id)?.run;
    if (active && isUnderWay(active))
      throw new ConfigError("run-active", "This run is active", { hint: "stop it first" });
    await setDeleted(id, true);
  },
  unforget: (id) => setDeleted(id, false),
  purge,

  accuracyAt,
  influences: async (id, text) => (taken ? null : tester.influences(await latestTrained(id), text)),
};

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
    self.postMessage({ id, error: error instanceof Refused ? error.report : reportError(error) } satisfies Answer);
  }
};

onRunsChanged(() => emit({ type: "runs" }));
