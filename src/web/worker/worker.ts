/** The page's worker: reads data, trains, classifies and stores, off the page's thread. */
import { exists, joinPath, listDirectory } from "#platform";
import { type Backend, describeDevice } from "../../backend/backend.ts";
import { defaultThreads } from "../../backend/wasm.ts";
import { type Objective, textContext } from "../../config.ts";
import { ConfigError, DeviceError } from "../../errors.ts";
import type { DownloadEvent, DownloadOptions } from "../../io/download-options.ts";
import type { GPT2Checkpoint } from "../../io/hf.ts";
import { loadAdapter, namedBase } from "../../io/open-adapter.ts";
import { baseShapes } from "../../names.ts";
import { finishReplacing, writeDirectoryAtomic } from "../../platform/replacing.ts";
import { changesOf } from "../../run/changes.ts";
import { sizeOf } from "../../tensor.ts";
import { DEFAULTS, methodSizes } from "../../train/options.ts";
import { optionsOf, type PreparedRun, prepareRun } from "../../train/prepare.ts";
import { checkFits } from "../../train/sizes.ts";
import type {
  Answer,
  Api,
  Call,
  DeviceReport,
  ErrorReport,
  Event,
  PageSettings,
  RunRecord,
  Speed,
  WriteReport,
  WriteRequest,
} from "../protocol.ts";
import { companionsOf, nextOf } from "../protocol.ts";
import { filesOf, unpackAdapter } from "./archive.ts";
import { methodsOf } from "./compare.ts";
import { columnsOf, describeData } from "./describe.ts";
import { deviceOf, dropDevice } from "./devices.ts";
import { reportOf, reportOfRun } from "./errors.ts";
import { TrainingGroup } from "./group.ts";
import { Learned } from "./learned.ts";
import { secondsOf } from "./pace.ts";
import {
  addModel,
  firstRows,
  forgetModel,
  keepData,
  listModels,
  nameOf,
  openData,
  openModel,
  pick,
  type Source,
} from "./sources.ts";
import {
  changeRun,
  folderOf,
  forgetRun,
  keepRun,
  listRuns,
  newId,
  onRunsChanged,
  purge,
  readRun,
  resultOf,
  startOf,
  untilNobodyTrains,
  whileOnlyTrainer,
} from "./store.ts";
import { takeFile, takeReport } from "./take.ts";
import { Tester, type Trained } from "./tester.ts";
import { describeTexts, openTexts } from "./texts.ts";
import { argumentsOf, bytesOf, loadedRun, type Materials, newRun, valuesOf } from "./training.ts";
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
/** Whether a run is active or about to begin. */
let taken = false;
const learned = new Learned();
/** The measurement of a scaled model, which a run and the next one end. */
let measuring = new AbortController();

function deviceReport({ info }: Backend): DeviceReport {
  return { kind: info.kind, text: describeDevice(info) };
}

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

/** Opens the messages or texts of the settings; those of a run if `folder` is its folder. */
function fetchSource(settings: PageSettings, model: GPT2Checkpoint, folder: string | null): Promise<Source> {
  return settings.objective === "lm" ? fetchTexts(settings, model, folder) : fetchMessages(settings, model, folder);
}

function fetchMessages(settings: PageSettings, model: GPT2Checkpoint, folder: string | null = null) {
  return fetched(nameOf(settings.data), (downloads) =>
    openData(settings, model, contextOf(settings, model), downloads, folder),
  );
}

function fetchTexts(settings: PageSettings, model: GPT2Checkpoint, folder: string | null = null) {
  return fetched(nameOf(settings.data), (downloads) =>
    openTexts(settings, model, contextOf(settings, model), downloads, folder),
  );
}

/** The most tokens of a message or of a block of text: without the virtual tokens of the run's mode. */
function contextOf({ options }: PageSettings, { config }: GPT2Checkpoint): number {
  return textContext(config, methodSizes({ ...DEFAULTS, ...options }));
}

/** Opens the materials of a run; those of the stored run `id` come from its folder. */
async function materialsOf(backend: Backend, settings: PageSettings, id: string | null = null): Promise<Materials> {
  const model = await fetchModel(settings.model);
  const source = await fetchSource(settings, model, id === null ? null : folderOf(id));
  const { adapter: start } = settings;
  if (!start) return { device: backend, model, source };
  const place = id === null ? resultOf(start.id) : startOf(id);
  return { device: backend, model, source, adapter: await loadAdapter(place, model) };
}

/** Begins the run that `make` returns. Progress is reported by events. Resolves when the run has begun. */
async function begin(
  settings: PageSettings,
  make: (backend: Backend) => Promise<[RunRecord, Materials]>,
): Promise<string> {
  if (taken) throw new ConfigError("A run is already active", { hint: "stop it first, or wait until it ends" });
  taken = true;
  ending = undefined;
  measuring.abort();
  void learned.close();
  try {
    const [run, materials] = await make(await deviceOf(settings.device));
    return await train(run, materials);
  } catch (error) {
    taken = false;
    throw error;
  }
}

/** Trains if no other tab does, then the runs that follow in its comparison; resolves when the first has begun. */
function train(first: RunRecord, materials: Materials): Promise<string> {
  return new Promise((resolve, reject) => {
    whileOnlyTrainer(async () => {
      try {
        await trainAtOnce(first, materials, () => resolve(first.id));
        for (let run = nextOf(first, await listRuns()); run; run = nextOf(run, await listRuns())) await follow(run);
      } finally {
        taken = false;
      }
      return true;
    }).then((done) => {
      if (done) return;
      reject(
        new ConfigError("Another tab of this page is training", { hint: "stop the run there, or wait until it ends" }),
      );
    }, reject);
  });
}

/** Trains a run, and at the same time others of its comparison. */
async function trainAtOnce(run: RunRecord, materials: Materials, began = () => {}): Promise<void> {
  await keepData(run.settings.data, folderOf(run.id));
  await keepStart(run);
  const companions = companionsOf(run, await listRuns());
  const report = (record: RunRecord, speed: Speed | null) => emit({ type: "run", run: record, speed });
  group = await TrainingGroup.prepare(run, companions, materials, report);
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

/** Trains the next run of a comparison. One that cannot begin fails, and the comparison goes on. */
async function follow(run: RunRecord): Promise<void> {
  try {
    await trainAtOnce(run, await materialsOf(await deviceOf(run.settings.device), run.settings, run.id));
  } catch (error) {
    Object.assign(run, { state: "failed", error: reportOf(error) });
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
  const adapter = run ? { name: `${run.id} ${run.seconds}`, directory: resultOf(run.id) } : null;
  const name = run?.settings.model ?? request.model;
  const device = await deviceOf(request.device);
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

async function accuracyAt(id: string, scale: number): Promise<number | null> {
  measuring.abort();
  if (taken) return null;
  measuring = new AbortController();
  const { signal } = measuring;
  try {
    return await learned.accuracyAt(await trainedOf(id), await readRun(id), scale, signal);
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

/** Copies the adapter that a run starts from into its folder, because the original may be deleted. */
async function keepStart({ id, settings: { adapter } }: RunRecord): Promise<void> {
  if (!adapter) return;
  const start = startOf(id);
  await finishReplacing(start);
  if ((await exists(start)) && (await listDirectory(start)).length > 0) return;
  await writeDirectoryAtomic(start, await filesOf(joinPath(resultOf(adapter.id), "adapter")));
}

/** The trained parameters of a run: from memory while it trains, else from its files. */
async function trainedOf(id: string): Promise<Trained> {
  const training = group?.of(id);
  if (training) {
    const { latest, meta, run } = training;
    if (!latest)
      throw new ConfigError("This run has no trained parameters yet", { hint: "wait for its first evaluation" });
    return { ...(await partsOf(run)), meta, tensors: latest };
  }
  const run = await readRun(id);
  const parts = await partsOf(run);
  if (loaded?.id !== id) loaded = { id, adapter: await loadAdapter(resultOf(id), parts.model) };
  return { ...parts, ...loaded.adapter };
}
/** The adapter that was loaded last. */
let loaded: { id: string; adapter: Awaited<ReturnType<typeof loadAdapter>> } | undefined;

async function partsOf({ id, settings }: RunRecord) {
  const backend = await deviceOf(settings.device);
  return { id, seed: settings.options.seed ?? 1, model: await openModel(settings.model), device: backend };
}

/** Stores an adapter from files as a run, with the base model that it names if that is available, else with `fallback`. */
async function takeAdapter(files: File[], fallback: string, objective?: Objective): Promise<string> {
  const id = newId();
  try {
    await unpackAdapter(files, joinPath(resultOf(id), "adapter"));
    const named = await namedBase(joinPath(resultOf(id), "adapter"));
    const name = (await listModels()).find((one) => one.name === named)?.name ?? fallback;
    const model = await openModel(name);
    const adapter = await loadAdapter(resultOf(id), model);
    if (objective !== undefined && adapter.meta.task.objective !== objective)
      throw new ConfigError("This adapter classifies messages and cannot generate text", {
        expected: "a language-model adapter (CAUSAL_LM)",
        found: "a classifier adapter (SEQ_CLS)",
        hint: "load it under Runs",
      });
    const changes = await changesOf(adapter, model, null);
    await keepRun({ ...loadedRun(id, name, files[0]!.name, adapter), changes });
  } catch (error) {
    await forgetRun(id);
    throw error;
  }
  return id;
}

const api: Api = {
  machine: async () => ({ isolated: self.crossOriginIsolated, threads: defaultThreads() }),
  openDevice: async (name) => deviceReport(await deviceOf(name)),
  async openModel(name) {
    const { config } = await fetchModel(name);
    return { name, config, values: [...baseShapes(config).values()].reduce((sum, shape) => sum + sizeOf(shape), 0) };
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
    if (group?.runs.some(({ settings }) => settings.model === name))
      throw new ConfigError("This model is in use by a run", { hint: "stop the run first, or wait until it ends" });
    await forgetModel(name);
  },
  async pickData(file, encoding) {
    pick([file]);
    return columnsOf(await firstRows(file.name, encoding), file.name);
  },
  async readData(settings) {
    const { data } = settings;
    const model = await fetchModel(settings.model);
    const source = await fetchMessages(settings, model);
    const columns =
      data.kind === "file"
        ? columnsOf(await firstRows(data.name, data.encoding), data.name)
        : { columns: [], text: null, label: null };
    return describeData(source.data, columns, settings.options.classWeights);
  },
  pick: async (files) => pick(files),
  async readTexts(settings) {
    const model = await fetchModel(settings.model);
    const source = await fetchTexts(settings, model);
    return describeTexts(source.data, settings.data, model);
  },
  async estimate(settings) {
    const backend = await deviceOf(settings.device);
    const run = argumentsOf(await materialsOf(backend, settings), settings);
    let prepared: PreparedRun;
    try {
      prepared = prepareRun(run);
      checkFits(run, prepared, optionsOf(run));
    } catch (error) {
      throw new Refused(reportOfRun(error, run));
    }
    const { total: steps, stepsPerEpoch } = prepared.stepCounts;
    return {
      trainable: prepared.trainable,
      values: valuesOf(prepared),
      bytes: bytesOf(prepared),
      steps,
      stepsPerEpoch,
      seconds: secondsOf(prepared, describeDevice(backend.info), defaultThreads(), await listRuns()),
    };
  },
  async runs() {
    const runs = await listRuns();
    if (runs.some(({ state }) => state === "elsewhere")) void untilNobodyTrains().then(() => emit({ type: "runs" }));
    return runs.map((run) => group?.of(run.id)?.run ?? run);
  },
  start: (settings) =>
    begin(settings, async (backend) => {
      const materials = await materialsOf(backend, settings);
      return [newRun(settings, materials), materials];
    }),
  async compare(settings) {
    const methods = methodsOf(settings, (await fetchModel(settings.model)).config);
    const materials = await materialsOf(await deviceOf(settings.device), methods[0]!);
    const comparison = newId();
    const begun = Date.now();
    const runs = methods.map((one, i): RunRecord => {
      return { ...newRun(one, materials), state: "waiting", comparison, created: begun + i };
    });
    for (const run of runs) {
      await keepData(run.settings.data, folderOf(run.id));
      await keepRun(run);
    }
    emit({ type: "runs" });
    await api.resume(runs[0]!.id);
    return runs[0]!.id;
  },
  async resume(id, name) {
    const run = await readRun(id);
    if (name) run.settings.device = name;
    await begin(run.settings, async (backend) => [run, await materialsOf(backend, run.settings, id)]);
  },
  pause: async () => end("paused"),
  stop: async () => end("stopped"),
  classify: async (id, text) => tester.classify(await trainedOf(id), text),
  async take(id) {
    const run = await readRun(id);
    return takeReport(run, await openModel(run.settings.model));
  },
  async download(id, what) {
    const run = await readRun(id);
    return takeFile(run, what, () => openModel(run.settings.model));
  },
  loadAdapter: takeAdapter,
  write,
  stopWriting: async () => writing.abort(),
  async change(id, change) {
    const active = group?.of(id)?.run;
    if (active) emit({ type: "run", run: Object.assign(active, change), speed: null });
    await changeRun(id, change);
  },
  async forget(id) {
    if (group?.of(id)) throw new ConfigError("This run is active", { hint: "stop it first" });
    await changeRun(id, { deleted: true });
  },
  unforget: (id) => changeRun(id, { deleted: false }),
  purge,

  accuracyAt,
  influences: async (id, text) => (taken ? null : tester.influences(await trainedOf(id), text)),
  samples: (id) => learned.samples(id),
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
    self.postMessage({ id, error: error instanceof Refused ? error.report : reportOf(error) } satisfies Answer);
  }
};

onRunsChanged(() => emit({ type: "runs" }));
