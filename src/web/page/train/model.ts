/** The base model: bundled, stored in this browser, from a folder, or from the hub; and the adapter to start from. */
import { batch, computed, effect, signal } from "@preact/signals";
import { DEFAULT_BASE } from "../../../io/hf.ts";
import { type ErrorReport, hasAdapter, type ModelEntry, type ModelReport } from "../../protocol.ts";
import { hasOwnMessages, objective } from "../data/data.ts";
import { runs } from "../runs/runs.ts";
import { ask } from "../shared/ask.ts";
import { failureReport } from "../shared/client.ts";
import { worker } from "../shared/worker.ts";

export const BUNDLED = "gpt2-micro";
export const FROM_HUB = "from-hub";
export const FROM_FOLDER = "from-folder";
/** A model that answers in a chat. */
export const CHATS = "smollm2-135m";

/** A base model that is named to the visitor. One that does not come with the page is downloaded from the hub. */
interface Base {
  name: string;
  megabytes: number;
  licence: string;
  use: string;
  isBundled?: true;
}
export const BASES: readonly Base[] = [
  { name: BUNDLED, megabytes: 15, licence: "CC BY 4.0", use: "labels short texts, the fastest", isBundled: true },
  {
    name: DEFAULT_BASE,
    megabytes: 30,
    licence: "MIT",
    use: "labels texts of Europe's languages better; cannot write",
    isBundled: true,
  },
  { name: CHATS, megabytes: 269, licence: "Apache 2.0", use: "answers in a chat, writes, labels" },
  { name: "distilgpt2", megabytes: 353, licence: "Apache 2.0", use: "writes English, labels" },
  { name: "gpt2", megabytes: 548, licence: "MIT", use: "writes English, labels; slower" },
];

/** The download of a model of this name; undefined: none of these is meant. */
export const findDownload = (wanted: string) => BASES.find(({ name, isBundled }) => name === wanted && !isBundled);

/** The choice in the list: the name of a model, or where another one comes from. */
export const listed = signal(BUNDLED);
/** Null: where the model comes from is chosen, but not which. */
export const modelName = computed(() => ([FROM_HUB, FROM_FOLDER].includes(listed.value) ? null : listed.value));
/** The bundled models and the stored ones. */
export const models = signal<readonly ModelEntry[]>([]);
/** The typed name of a model of the hub. */
export const hubName = signal("");
/** The open model; null while there is none. */
export const model = signal<ModelReport | null>(null);
export const modelError = signal<ErrorReport | null>(null);

/** Gives the name of the model to open; null: there is none. */
const wanted = signal<(() => Promise<string>) | null>(null);

effect(() => {
  model.value = null;
  modelError.value = null;
  const find = wanted.value;
  if (!find) return;
  return ask(
    async () => ({ model: await worker.openModel(await find()), models: await worker.models() }),
    (opened) =>
      batch(() => {
        models.value = opened.models;
        listed.value = opened.model.name;
        model.value = opened.model;
      }),
    (report) => {
      modelError.value = report;
    },
  );
});

/** Whether the base follows the data, as the visitor has chosen none. */
export const follows = signal(false);
effect(() => {
  const name = hasOwnMessages.value ? DEFAULT_BASE : BUNDLED;
  if (!follows.value) return;
  listed.value = name;
  openModel(name);
});

export function openModel(name: string): void {
  if (name !== "") wanted.value = async () => name;
}

/** A model that would have to be downloaded waits for the button. */
export function choose(value: string): void {
  const isHere = !findDownload(value) || models.value.some(({ name }) => name === value);
  if (!isHere) hubName.value = value;
  follows.value = false;
  listed.value = isHere ? value : FROM_HUB;
  if (modelName.value === null) wanted.value = null;
  else openModel(value);
}

export function addModel(files: File[]): void {
  if (files.length === 0) return;
  follows.value = false;
  wanted.value = () => worker.addModel(files);
}

/** Deletes the open model from this browser. */
export async function forgetModel(): Promise<void> {
  try {
    await worker.forgetModel(listed.value);
    follows.value = true;
  } catch (error) {
    modelError.value = failureReport(error);
  }
}

/**
 * Chooses the model of the last visit or of a link; without one the base follows the data. Returns a function that
 * opens it, unless the visitor has chosen another one since. One that only a link names is downloaded on request.
 */
export function beginModel(name?: string, isLink = false): () => Promise<void> {
  const begun = name ?? BUNDLED;
  listed.value = begun;
  return async () => {
    models.value = await worker.models();
    if (listed.value !== begun) return;
    if (name === undefined) follows.value = true;
    else if (!isLink || models.value.some((known) => known.name === name)) choose(name);
    else {
      hubName.value = name;
      choose(FROM_HUB);
    }
  };
}

/** The id of the run whose adapter is trained on; empty: a new adapter. */
export const chosenAdapter = signal("");

/** The runs whose adapters fit the model and what it is to learn. */
export const adapters = computed(() =>
  runs.value.filter(
    (run) =>
      run.model === model.value?.name &&
      run.record.objective === objective.value &&
      run.record.options.mode === "lora" &&
      hasAdapter(run),
  ),
);
export const adapter = computed(() => adapters.value.find(({ id }) => id === chosenAdapter.value)?.id);
