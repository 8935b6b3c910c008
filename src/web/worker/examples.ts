/** Models that come with the page, to be tried before anything is trained. Loaded when one is wanted. */
import { joinPath } from "#platform";
import { loadAdapter } from "../../io/peft/open-adapter.ts";
import { registerFile } from "../../platform/files.ts";
import { recordOfAdapter } from "../../run/record.ts";
import type { PageRun } from "../protocol.ts";
import { runFolder } from "./files/store.ts";
import { openModel } from "./sources.ts";

/** The files of an adapter, in data/adapters/NAME. */
const FILES = ["adapter_config.json", "adapter_model.safetensors", "lowrank.json", "lowrank.safetensors"];
const BASE = "gpt2-micro";

/** Opens the one of a bundled data set, as if it were loaded from a file; it is not stored. */
export async function openExample(dataset: string): Promise<PageRun> {
  const id = `example-${dataset}`;
  for (const file of FILES) {
    const response = await fetch(new URL(`../../data/adapters/${dataset}/${file}`, import.meta.url));
    if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
    registerFile(joinPath(runFolder(id), "adapter", file), await response.blob());
  }
  const record = recordOfAdapter(await loadAdapter(runFolder(id), await openModel(BASE)), dataset);
  return { id, record, state: "loaded", model: BASE, device: "auto", usable: true, note: null, error: null };
}
