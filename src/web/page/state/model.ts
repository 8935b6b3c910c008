/** The base model. */
import { signal } from "@preact/signals";
import type { GPT2Config } from "../../../config.ts";
import { worker } from "./worker.ts";

/** The open model; null while there is none. `values` counts its parameters. */
export const model = signal<{ name: string; config: GPT2Config; values: number } | null>(null);

export async function beginModel(): Promise<void> {
  model.value = await worker.openModel("gpt2-micro");
}
