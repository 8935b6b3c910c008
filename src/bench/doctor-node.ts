/** What doctor measures a device with in Node: the machine, the fixtures of a clone, PyTorch. */
import { exists, joinPath, listDirectory, openFile, packagePath } from "#platform";
import { LowrankError } from "../errors.ts";
import type { Surroundings } from "./doctor.ts";
import { machine } from "./machine.ts";
import { measureTorch } from "./step.ts";

/** Fixtures are in a clone of the repository, not in the package. */
export async function nodeSurroundings(): Promise<Surroundings> {
  const folder = packagePath("test/golden");
  const names = (await exists(folder)) ? await listDirectory(folder) : [];
  return {
    machine: { ...machine() },
    fixtures: names
      .filter((name) => name.endsWith(".safetensors"))
      .map((name) => ({ name, open: () => openFile(joinPath(folder, name)) })),
    async measureTorch(model, device, signal) {
      try {
        return await measureTorch(model, device, signal);
      } catch (error) {
        if (error instanceof LowrankError && error.code === "peer-not-installed") return null;
        throw error;
      }
    },
  };
}
