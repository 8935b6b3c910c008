/** The models that are open on devices, besides those of runs: what classifies, measures, labels and writes. */

import { exists, joinPath } from "#platform";
import type { Backend } from "../../backend/backend.ts";
import type { ClassicModel } from "../../classic/model.ts";
import { CLASSIC } from "../../classic/parts.ts";
import { ConfigError, DeviceError } from "../../core/errors.ts";
import type { TextOrPair } from "../../core/pair.ts";
import { Classifier } from "../../infer/classifier.ts";
import { type Influences, measureInfluences } from "../../infer/influence.ts";
import type { Labeller } from "../../infer/table/labeller.ts";
import { Turns } from "../../infer/turns.ts";
import type { BaseModel } from "../../io/hf.ts";
import { loadAdapter } from "../../io/peft/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../../io/peft/peft.ts";
import { trainedTensors } from "../../run/checkpoint.ts";
import { buildAdapter } from "../../run/directory.ts";
import { TASKS } from "../../tasks/index.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import { runSpec } from "../../train/sizes.ts";
import {
  hasAdapter,
  isUnderWay,
  type LabelReport,
  type LabelRequest,
  type PageRun,
  type Verdict,
  type WatchedMessage,
  type WriteReport,
  type WriteRequest,
} from "../protocol.ts";
import { dropDevice, pageDevice } from "./devices.ts";
import { emit } from "./emit.ts";
import { openStart } from "./files/run-files.ts";
import { newestCheckpoint, readRun, runFolder } from "./files/store.ts";
import { openModel } from "./sources.ts";
import { machine } from "./train/machine.ts";
import { fetchModel } from "./train/materials.ts";
import type { Writer } from "./writer.ts";

export interface Trained {
  id: string;
  meta: AdapterMeta;
  tensors: Tensors;
  model: BaseModel;
  device: Backend;
}

class Tester {
  private readonly turns = new Turns();
  private open: { trained: Trained; classifier: Classifier } | undefined;

  async classify(trained: Trained, text: TextOrPair): Promise<Omit<Verdict, "classic">> {
    const [adapter] = await this.answers(trained, [text]);
    return { adapter: adapter!, device: this.open!.classifier.device };
  }

  /** What the trained parameters alone make of some texts. */
  async answers(trained: Trained, texts: readonly TextOrPair[]): Promise<Labelled[]> {
    const classifier = await this.prepare(trained);
    return classifier[TASKS[trained.meta.task.objective].predicts!.method]([...texts]);
  }

  async influences(trained: Trained, text: TextOrPair): Promise<Influences | null> {
    return measureInfluences(await this.prepare(trained), text);
  }

  close(): void {
    this.open?.classifier.destroy();
    this.open = undefined;
  }

  /** Calls at the same time have the same classifier. */
  private prepare(trained: Trained) {
    return this.turns.run(() => this.openFor(trained));
  }

  /** Reuses the classifier for the same run on the same device; writes the tensors again if they have changed. */
  private async openFor(trained: Trained) {
    const { open } = this;
    if (open?.trained.id === trained.id && open.trained.device === trained.device) {
      if (open.trained.tensors !== trained.tensors) open.classifier.update(trained.tensors);
      open.trained = trained;
      return open.classifier;
    }
    this.close();
    const { meta, tensors, model, device } = trained;
    const classifier = await Classifier.of({ meta, tensors }, model, device);
    this.open = { trained, classifier };
    return classifier;
  }
}

const tester = new Tester();
let writer: Writer | undefined;
/** The adapter that was loaded last: calls at the same time have the same one. */
let loaded: { name: string; adapter: Promise<Adapter> } | undefined;

/** Closes a device that has failed, and the models on it. */
export async function giveUp(device: Backend): Promise<void> {
  tester.close();
  writer?.close();
  await dropDevice(device);
}

/** Uses a device, and gives it up if it fails; one that a run uses is the run's to give up. */
async function useDevice<T>(device: Backend, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DeviceError && machine.isIdle) await giveUp(device);
    throw error;
  }
}

/** The name of a run's adapter: a stopped run has another one after it was resumed. */
const adapterName = ({ id, record }: PageRun) => `${id} ${record.seconds}`;

/** The trained parameters of a run: from memory while it trains, else from its files. */
async function latestTrained(id: string): Promise<Trained> {
  const training = machine.group?.of(id);
  const isTraining = training !== undefined && isUnderWay(training.run);
  const run = isTraining ? training.run : await readRun(id);
  const parts = { id, model: await openModel(run.model), device: await pageDevice(run.device) };
  if (!isTraining) {
    const name = adapterName(run);
    if (loaded?.name !== name) loaded = { name, adapter: storedAdapter(run, parts.model) };
    try {
      return { ...parts, ...(await loaded.adapter) };
    } catch (error) {
      loaded = undefined;
      throw error;
    }
  }
  const { latest, meta } = training;
  if (!latest)
    throw new ConfigError("no-trained-parameters", "This run has no trained parameters yet", {
      hint: "wait for its first evaluation",
    });
  return { ...parts, meta, tensors: latest };
}

/** What a stored run has learned: its adapter, or before it has saved one its last checkpoint. */
async function storedAdapter(run: PageRun, model: BaseModel): Promise<Adapter> {
  const checkpoint = hasAdapter(run) ? undefined : await newestCheckpoint(run.id);
  if (!checkpoint) return loadAdapter(runFolder(run.id), model);
  const { record } = run;
  const start = (await openStart(run, model)) ?? undefined;
  return buildAdapter(record, runSpec(model, record, record.options, start), { tensors: trainedTensors(checkpoint) });
}

async function withTrained<T>(id: string, work: (trained: Trained) => Promise<T>): Promise<T> {
  const trained = await latestTrained(id);
  return useDevice(trained.device, () => work(trained));
}

export const classify = (id: string, text: TextOrPair): Promise<Verdict> =>
  withTrained(id, async (trained) => ({
    ...(await tester.classify(trained, text)),
    classic: await askClassic(trained, text),
  }));

/** The model of word counts that was read last. */
let classic: { id: string; model: ClassicModel } | undefined;

async function openClassic(id: string): Promise<ClassicModel> {
  if (classic?.id !== id) {
    const { ClassicModel } = await import("../../classic/model.ts");
    classic = { id, model: await ClassicModel.load(runFolder(id)) };
  }
  return classic.model;
}

async function askClassic({ id, meta }: Trained, text: TextOrPair): Promise<Verdict["classic"]> {
  const { method } = TASKS[meta.task.objective].predicts!;
  if (method === "tag" || !(await exists(joinPath(runFolder(id), CLASSIC)))) return null;
  const model = await openClassic(id);
  const [[says], [isUnlike]] = [await model[method]([text]), await model.unlike([text])];
  return { says: says!, isUnlike: isUnlike! };
}

/** The messages on which a run that trains is watched, with its answers; null: there are none. */
export async function watch(id: string): Promise<WatchedMessage[] | null> {
  const training = machine.group?.of(id);
  if (!training || !isUnderWay(training.run) || training.watched.length === 0) return null;
  const { watched, latest } = training;
  if (!latest) return watched.map((one) => ({ ...one, answer: null }));
  return withTrained(id, async (trained) => {
    const answers = await tester.answers(
      trained,
      watched.map(({ text }) => text),
    );
    return watched.map((one, i) => ({ ...one, answer: answers[i]! }));
  });
}

/** The influence of each word on the class; null if a run needs the device, or there is not one class. */
export const influences = async (id: string, text: TextOrPair): Promise<Influences | null> =>
  machine.isIdle ? withTrained(id, async (trained) => tester.influences(trained, text)) : null;

/** Generates text. The code is loaded at the first call. */
export async function write(request: WriteRequest): Promise<WriteReport> {
  const signal = machine.use("writing");
  const run = request.adapter === null ? null : await readRun(request.adapter);
  const adapter = run && { name: adapterName(run), directory: runFolder(run.id) };
  const device = await pageDevice(request.device);
  const model = await fetchModel(run?.model ?? request.model);
  const { Writer } = await import("./writer.ts");
  const opened = writer ?? new Writer();
  writer = opened;
  const target = { device, model, adapter };
  return useDevice(device, () =>
    opened.write(target, request, signal, (chunk, seconds) => emit({ type: "written", chunk, seconds })),
  );
}

/** Milliseconds between two reports of labelled rows. */
const EMIT_EVERY = 200;

/** Labels a table. The code is loaded at the first call. */
export async function label(id: string, source: File | string, request: LabelRequest): Promise<LabelReport> {
  const signal = machine.use("labelling");
  const { labelSource, readTrainedTexts } = await import("./label.ts");
  const columns = await readTrainedTexts(runFolder(id));
  let emitted = 0;
  const onProgress = (rows: number, total: number) => {
    if (performance.now() - emitted < EMIT_EVERY) return;
    emitted = performance.now();
    emit({ type: "labelled", rows, total });
  };
  const work = (labeller: Labeller) => labelSource(labeller, source, { ...request, ...columns, signal, onProgress });
  if (request.classic) return work(await openClassic(id));
  return withTrained(id, async (trained) => {
    // A classifier of its own, because the tester's follows what the visitor looks at.
    const classifier = await Classifier.of(trained, trained.model, trained.device);
    return work(classifier).finally(() => classifier.destroy());
  });
}
