/** Runs and adapters that the visitor opens: files of a run directory or of an adapter, or a zip file of them. */

import { exists, joinPath, writeDirectory } from "#platform";
import { ConfigError } from "../../../core/errors.ts";
import { fingerprint } from "../../../io/fingerprint.ts";
import { unpack } from "../../../io/folder.ts";
import type { BaseModel } from "../../../io/hf.ts";
import { findAdapter, loadAdapter, namedBase } from "../../../io/peft/open-adapter.ts";
import type { Adapter } from "../../../io/peft/peft.ts";
import { dataFiles, fileName, moveFiles, type RunRecord, recordOfAdapter } from "../../../record/record.ts";
import { measureChanges, startTensors } from "../../../run/changes.ts";
import { readRecord } from "../../../run/directory.ts";
import { hasHead } from "../../../tasks/index.ts";
import type { PageRun } from "../../protocol.ts";
import { listModels, openModel } from "../sources.ts";
import { adapterFiles, runFiles } from "./archive.ts";
import { openStart } from "./run-files.ts";
import { forgetRun, keepRun, newId, runFolder, startFolder } from "./store.ts";

/** Stores a run or an adapter from files. `fallback` is the base model if the one that it names is not available,
 * `writes`: whether it is to write text. */
export async function load(files: File[], fallback: string, { writes = false } = {}): Promise<string> {
  const id = newId();
  try {
    const some = await unpack(files);
    const ofRun = await runFiles(some);
    const selected = files.map(({ name }) => name).join(", ");
    await writeDirectory(runFolder(id), ofRun ?? adapterFiles(some, selected));
    const run = await (ofRun ? openRun(id, fallback) : openAdapter(id, selected, fallback));
    if (writes && hasHead(run.record))
      throw new ConfigError("wrong-task", "This adapter classifies messages and cannot generate text", {
        expected: "a language-model adapter (CAUSAL_LM)",
        found: "a classifier adapter (SEQ_CLS)",
        hint: "open it under Runs",
      });
    await keepRun(run);
  } catch (error) {
    await forgetRun(id);
    throw error;
  }
  return id;
}

const OPENED = { device: "auto", note: null, error: null } as const;

async function openAdapter(id: string, file: string, fallback: string): Promise<PageRun> {
  const name = await findModel(await namedBase(joinPath(runFolder(id), "adapter")), fallback);
  const model = await openModel(name);
  const adapter = await loadAdapter(runFolder(id), model);
  const changes = await measureChanges(adapter, model, null);
  return { id, record: recordOfAdapter(adapter, file), state: "loaded", model: name, usable: true, changes, ...OPENED };
}

async function openRun(id: string, fallback: string): Promise<PageRun> {
  const { replaces: _, ...found } = await readRecord(runFolder(id));
  const record = await withOwnPaths(id, found);
  const run: PageRun = {
    id,
    record,
    state: record.state === "training" ? "interrupted" : record.state,
    model: await findModel(record.model, fallback),
    usable: false,
    ...OPENED,
  };
  const model = await openModel(run.model);
  if ((await fingerprint(model)) !== record.base) {
    run.model = fileName(record.model);
    run.note = `Its base model, ${run.model}, is not stored here: choose it under “Model” and open the run again, to classify with it or to resume it.`;
  } else if ((await findAdapter(runFolder(id))) !== undefined) {
    run.usable = true;
    run.changes = await changesOfRun(run, model);
  }
  return run;
}

/** The record with the paths of those of its files that came with it. */
async function withOwnPaths(id: string, record: RunRecord): Promise<RunRecord> {
  const own = new Map<string, string>();
  for (const path of dataFiles(record.data)) {
    const place = joinPath("data", fileName(path));
    if (await exists(joinPath(runFolder(id), place))) own.set(path, place);
  }
  const hasStart = record.adapter !== undefined && (await exists(startFolder(id)));
  const data = moveFiles(record.data, (path) => own.get(path) ?? path);
  return { ...record, data, ...(hasStart ? { adapter: "start" } : {}) };
}

async function changesOfRun(run: PageRun, model: BaseModel) {
  const adapter: Adapter = await loadAdapter(runFolder(run.id), model);
  const isKnown = run.record.adapter === undefined || (await exists(startFolder(run.id)));
  const start = isKnown
    ? ((await openStart(run, model))?.tensors ?? (await startTensors(adapter.meta, run.record.options, model)))
    : null;
  return measureChanges(adapter, model, start);
}

/** The name of a base model in the page: of the bundled and the stored ones, by its name or that of its folder. */
async function findModel(named: string | undefined, fallback: string): Promise<string> {
  const names = (await listModels()).map(({ name }) => name);
  return names.find((name) => name === named) ?? names.find((name) => name === fileName(named ?? "")) ?? fallback;
}
