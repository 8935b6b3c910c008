/** A short run of a tiny model on a device, and what it says of a text. */
import { join } from "node:path";
import type { Backend } from "../../src/backend/backend.ts";
import { initialTensors } from "../../src/engine/initial.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { type BaseModel, loadModel } from "../../src/io/hf.ts";
import type { Tensors } from "../../src/io/peft/peft.ts";
import { buildAdapter } from "../../src/run/directory.ts";
import { prepareOnDevice } from "../../src/train/device.ts";
import type { Job, Start, TrainArguments } from "../../src/train/job.ts";
import { ofMode, resolveOptions } from "../../src/train/options.ts";
import type { TrainResult } from "../../src/train/records.ts";
import { trainJobs } from "../../src/train/scheduler.ts";
import { runSpec } from "../../src/train/sizes.ts";
import { temporaryFolder } from "./border.ts";
import { messages, tinyData, tinyModel } from "./tiny.ts";
import { train } from "./train.ts";

/** The model's directory. */
export const directory = tinyModel(join(temporaryFolder(), "model"));

/** What `work` makes of a short run on a device. */
async function shortRun<T>(device: Backend, more: Settings, work: (run: TrainArguments) => Promise<T>): Promise<T> {
  return withModel(async (model) => {
    const options = ofMode({ rank: 2, epochs: 1, ...more }, more.mode ?? "lora");
    return work({ device, model, data: await tinyData(messages(20)), ...options });
  });
}

export type Settings = Partial<TrainArguments>;
export const trained = (device: Backend, more: Settings = {}) => shortRun(device, more, train);
export const chosen = (device: Backend, more: Settings = {}) =>
  shortRun(device, more, (run) => prepareOnDevice(run, {}));

export const listTensors = ({ tensors }: { tensors: Tensors }) =>
  [...tensors].map(([name, { data }]) => [name, [...data]]);

/** Loads the tiny model for `work`. */
export async function withModel<T>(work: (model: BaseModel) => Promise<T>): Promise<T> {
  const model = await loadModel(directory);
  try {
    return await work(model);
  } finally {
    await model.close();
  }
}

/** A classifier before training, on a device. */
export async function untrained(model: BaseModel, device: Backend): Promise<Classifier> {
  const spec = runSpec(model, await tinyData(messages(8)), resolveOptions({ rank: 2 }));
  const adapter = buildAdapter(
    {
      model: directory,
      base: await fingerprint(model),
      objective: "classification",
      labels: ["ham", "spam"],
      maxLength: 32,
      padTo: 0,
      results: null,
      settings: {},
    },
    spec,
    { tensors: await initialTensors(spec, { seed: 1, headInit: "uniform" }, model) },
  );
  return Classifier.of(adapter, model, device);
}

/** What a device says of a text, and behind it. */
export function inferring(device: Backend) {
  return withModel(async (model) => {
    const classifier = await untrained(model, device);
    const lm = await LanguageModel.of(model, null, { device });
    const logits = await classifier.logits("you have won a prize");
    const [completion] = await lm.complete("see you", { maxNewTokens: 4 });
    return { classifier, lm, logits: [...logits], ids: completion!.ids };
  });
}

/** What runs that are trained at once have in common. */
export type Common = Pick<Job, "device" | "model" | "data">;
/** What each has of its own. */
export type Own = Omit<Job, keyof Common>;

/** Trains runs. Those that have not begun are missing. */
export async function trainAll(
  { signal, ...common }: Common & { signal?: AbortSignal },
  runs: readonly { settings: Own; start: Start }[],
) {
  const settled: PromiseSettledResult<TrainResult>[] = [];
  const jobs = runs.map(({ settings, start }, i) => ({
    job: { ...common, ...settings },
    begin: async () => start,
    end: async (trained: Promise<TrainResult>) => {
      [settled[i]] = await Promise.allSettled([trained]);
    },
  }));
  await trainJobs(jobs, signal && { signal });
  return settled;
}
