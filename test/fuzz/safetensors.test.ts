/** safetensors files of adapters, checkpoints and base models, changed at random. */
import type { Rng } from "../../src/core/rng.ts";
import { type Case, type Files, fuzz } from "./fuzz.ts";
import {
  BASES,
  CHECKPOINTS,
  OURS,
  PEFT,
  PEFT_QWEN2,
  readBase,
  readCheckpoint,
  readOurs,
  readPeft,
  readPeftQwen2,
} from "./models.ts";
import { pick } from "./mutate.ts";
import { mutateSafetensors } from "./safetensors-files.ts";

/** The files with one of their safetensors changed. */
function changed(rng: Rng, sources: readonly Files[]): Case {
  const files = new Map(pick(rng, sources));
  const name = pick(
    rng,
    [...files.keys()].filter((file) => file.endsWith(".safetensors")),
  );
  return { files: files.set(name, mutateSafetensors(rng, files.get(name) as Uint8Array)) };
}

for (const [name, sources, read, count] of [
  ["safetensors-ours", OURS, readOurs, 250],
  ["safetensors-peft", PEFT, readPeft, 250],
  ["safetensors-peft-qwen2", PEFT_QWEN2, readPeftQwen2, 100],
  ["safetensors-checkpoint", CHECKPOINTS, readCheckpoint, 250],
  ["safetensors-base", BASES, readBase, 250],
] as const)
  fuzz({
    name,
    count,
    make: (rng) => changed(rng, sources),
    read: (_, folder) => read(folder),
  });
