/** Opens what a run is made of: its device, its base model, its data, and the adapter that it starts from. */

import type { BaseModel } from "../../../io/hf.ts";
import { loadAdapter } from "../../../io/peft/open-adapter.ts";
import type { Adapter } from "../../../io/peft/peft.ts";
import { dataName } from "../../../record/record.ts";
import type { TrainOptions } from "../../../train/settings.ts";
import type { PageRun, PageSettings } from "../../protocol.ts";
import { pageDevice } from "../devices.ts";
import { fetched } from "../emit.ts";
import { checkUnchanged, openStart, reopenData } from "../files/run-files.ts";
import { runFolder } from "../files/store.ts";
import { nameData, openData, openModel } from "../sources.ts";
import type { OpenedRun } from "./training.ts";

export const fetchModel = (name: string): Promise<BaseModel> =>
  fetched(name, (downloads) => openModel(name, downloads));

export const fetchData = (settings: PageSettings, model: BaseModel, adapter?: Adapter) =>
  fetched(nameData(settings), (downloads) => openData(settings, model, downloads, adapter));

/** Opens what a new run is made of. */
export async function openSettings(settings: PageSettings): Promise<OpenedRun & { options: TrainOptions }> {
  const device = await pageDevice(settings.device);
  const model = await fetchModel(settings.model);
  const adapter = settings.adapter === undefined ? undefined : await loadAdapter(runFolder(settings.adapter), model);
  return { device, model, ...(await fetchData(settings, model, adapter)), ...(adapter ? { adapter } : {}) };
}

/** Opens what a stored run is made of. Throws ConfigError if that is not what it began with. */
export async function reopen(run: PageRun): Promise<OpenedRun> {
  const device = await pageDevice(run.device);
  const model = await fetchModel(run.model);
  const data = await fetched(dataName(run.record), (downloads) => reopenData(run, model, downloads));
  await checkUnchanged(run, model, data);
  const adapter = await openStart(run, model);
  return { device, model, data, ...(adapter ? { adapter } : {}) };
}
