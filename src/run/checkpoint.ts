/** Checkpoints of a run on disk: the last two, each written atomically, so that a killed run can be resumed. */
import { exists, joinPath, listDirectory, openFile, remove, removeEmpty, writeFileAtomic } from "#platform";
import { checkKinds, checkVersion, inRange } from "../core/checks.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import { formatShape, type Shape, sameShape } from "../core/tensor.ts";
import { parseJson } from "../io/limits.ts";
import { SafetensorsFile } from "../io/safetensors/safetensors.ts";
import { encodeSafetensors } from "../io/safetensors/safetensors-write.ts";
import { isTemporary, TEMPORARY } from "../platform/paths.ts";
import type { Checkpoint } from "../train/records.ts";

/** The folder of a run directory that holds its checkpoints. */
const FOLDER = "checkpoint";
const GENERATIONS = 2;
const VERSION = 1;

/** Stored beside the trained tensors: their moments, and those of the best evaluation. */
const OF_OPTIMIZER = /^([mv]|best)\./;

const stepFile = (step: number) => `step-${String(step).padStart(9, "0")}.safetensors`;

/** A checkpoint as a safetensors file: tensors, with everything else as JSON in the metadata. */
export function encodeCheckpoint({ tensors, ...rest }: Checkpoint): Uint8Array {
  return encodeSafetensors(
    [...tensors].map(([name, { shape, data }]) => ({ name, shape, dtype: "F32", data })),
    { format: "lowrank-checkpoint", version: String(VERSION), state: JSON.stringify(rest) },
  );
}

async function readCheckpoint(path: string): Promise<Checkpoint> {
  const reader = await openFile(path);
  try {
    const file = await SafetensorsFile.open(
      reader,
      "train again from the start: no checkpoint of this run can be read",
    );
    const { format, version, state } = file.metadata;
    if (format !== "lowrank-checkpoint" || state === undefined)
      throw new FormatError("invalid-field", "the file is no checkpoint", { where: path });
    checkVersion("the checkpoint", Number(version), VERSION, path);
    const rest = parseJson(new TextEncoder().encode(state), path) as Omit<Checkpoint, "tensors">;
    checkKinds({ rest }, { rest: "object" }, path);
    checkKinds(
      rest,
      { step: "count", seconds: inRange({ min: 0 }), device: "text?", steps: "objects", evaluations: "objects" },
      path,
    );
    checkMoments(file.floatShapes(), path);
    const tensors: Checkpoint["tensors"] = new Map();
    for (const name of file.names)
      tensors.set(name, { shape: file.info(name).shape, data: await file.readFinite(name) });
    return { ...rest, tensors };
  } finally {
    await reader.close();
  }
}

/** Checks that trained tensors have two moments of their shape, best ones a trained one. `restore` checks the rest. */
function checkMoments(shapes: Map<string, Shape>, where: string): void {
  for (const [key, shape] of shapes) {
    const name = key.replace(OF_OPTIMIZER, "");
    for (const partner of [name, `m.${name}`, `v.${name}`]) {
      const moment = shapes.get(partner);
      if (moment === undefined || !sameShape(moment, shape))
        throw new FormatError("invalid-checkpoint", `the checkpoint has ${key}, but no ${partner} of the same shape`, {
          where,
          expected: formatShape(shape),
          found: moment === undefined ? "none" : formatShape(moment),
        });
    }
  }
}

/** The trained tensors after a checkpoint's step. */
export const trainedTensors = ({ tensors }: Pick<Checkpoint, "tensors">): Checkpoint["tensors"] =>
  new Map([...tensors].filter(([name]) => !OF_OPTIMIZER.test(name)));

/** Writes a checkpoint into a run directory. Deletes all but the last two, and temporary files of incomplete ones. */
export async function keepCheckpoint(directory: string, checkpoint: Checkpoint): Promise<void> {
  const path = joinPath(directory, FOLDER, stepFile(checkpoint.step));
  await writeFileAtomic(path, encodeCheckpoint(checkpoint));
  const newest = (await generations(directory)).slice(0, GENERATIONS);
  for (const name of await checkpointFiles(directory))
    if (!newest.includes(name)) await remove(joinPath(directory, name));
}

/** Deletes the checkpoints of a run that has ended. */
export async function removeCheckpoints(directory: string): Promise<void> {
  for (const name of await checkpointFiles(directory)) await remove(joinPath(directory, name));
  await removeEmpty(joinPath(directory, FOLDER));
}

/** All checkpoint files in a run directory, oldest first, with the temporary files of incomplete ones. */
export async function checkpointFiles(directory: string): Promise<string[]> {
  const folder = joinPath(directory, FOLDER);
  const names = (await exists(folder)) ? await listDirectory(folder) : [];
  return names.filter((name) => WHOLE.test(name) || isTemporary(name)).map((name) => `${FOLDER}/${name}`);
}

const WHOLE = /^step-\d{9,}\.safetensors$/;

/** The files of the complete checkpoints, newest first. */
export async function generations(directory: string): Promise<string[]> {
  const names = await checkpointFiles(directory);
  return names.filter((name) => !name.endsWith(TEMPORARY)).sort((a, b) => (a < b ? 1 : -1));
}

/** The newest readable checkpoint of a run directory. Throws the error of the newest one if none is readable. */
export async function lastCheckpoint(directory: string): Promise<Checkpoint> {
  let failure: unknown;
  for (const name of await generations(directory)) {
    try {
      return await readCheckpoint(joinPath(directory, name));
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure ?? new ConfigError("no-checkpoint", "there is no checkpoint to resume from", { where: directory });
}
