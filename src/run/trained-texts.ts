/** The columns that a table to label is expected to have: those that a model was trained on. */
import { exists, joinPath } from "#platform";
import { isClassic } from "../classic/parts.ts";
import { readClassic } from "../classic/read.ts";
import { pairSettings } from "../core/pair.ts";
import { readJson } from "../io/common.ts";
import { readMarker } from "../io/marker.ts";
import { parseMeta } from "../io/peft/adapter-meta.ts";
import { findAdapter, IS_ADAPTER } from "../io/peft/open-adapter.ts";
import { META } from "../io/peft/peft.ts";
import { RUN } from "./directory.ts";

export interface TrainedTexts {
  /** Their column, if the run was given one; of pairs both, with a comma between them. */
  likelyTextColumn?: string | undefined;
  /** Whether they are pairs; undefined: PEFT wrote the adapter. */
  isPair?: boolean | undefined;
}

/** Of a run's directory, its adapter/, an adapter alone, or a classic model. */
export async function readTrainedTexts(directory: string): Promise<TrainedTexts> {
  const record = await readMarker(IS_ADAPTER.test(directory) ? joinPath(directory, "..") : directory, RUN);
  const { textColumn } = (record?.data ?? {}) as { textColumn?: unknown };
  const place = await findAdapter(directory);
  const path = joinPath(place ?? directory, META);
  const ours = await exists(path);
  if (!ours && !(await isClassic(directory))) return {};
  const pairs = ours ? pairSettings(parseMeta(await readJson(path), path)) : (await readClassic(directory)).pairs;
  const likelyTextColumn = typeof textColumn === "string" ? textColumn : pairs?.columns.join();
  return { likelyTextColumn, isPair: pairs !== undefined };
}
