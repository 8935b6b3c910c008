/** Several GPUs: which there are, and one by its index in their list or by its name. */
import { type ListedAdapter, listAdapters, requestGPU } from "#platform";
import { ConfigError } from "../errors.ts";
import { adapterName, isSoftware, requestAdapter } from "./webgpu.ts";

/** The adapters; where only the implementation chooses, as in a page, that one. Throws DeviceError if there is none. */
async function findAdapters(): Promise<ListedAdapter[]> {
  const listed = await listAdapters();
  if (listed.length > 0) return listed;
  const gpu = await requestGPU();
  const { info } = await requestAdapter(gpu);
  return [{ name: adapterName(info), backend: "webgpu", isHidden: false, open: async () => gpu }];
}

/**
 * The GPU object of one adapter. `word` is its index in the list, or else a part of its backend and name, in any case;
 * of several the first is taken. Throws ConfigError, with the list, if there is none.
 */
export async function requestNamedGPU(word: string): Promise<GPU> {
  const adapters = await findAdapters();
  const isNamed = ({ backend, name }: ListedAdapter) => `${backend} ${name}`.toLowerCase().includes(word.toLowerCase());
  const found = (/^\d+$/.test(word) && adapters[Number(word)]) || adapters.find(isNamed);
  if (!found)
    throw new ConfigError("unknown-value", "there is no such GPU", {
      expected: adapters.map(({ name, backend }, i) => `webgpu:${i} (${name}, ${backend})`).join(", "),
      found: `webgpu:${word}`,
    });
  if (found.isHidden)
    throw new ConfigError(
      "unknown-value",
      "this GPU cannot be opened: another one, earlier in the list, has its name",
      {
        found: `webgpu:${word}, ${found.name}`,
      },
    );
  return found.open();
}

/** A GPU that was found, to print. */
export interface FoundGPU {
  name: string;
  backend: string;
  /** What it can do; null if it cannot be opened. */
  adapter: GPUAdapter | null;
  isSoftware: boolean;
}

/** The GPUs by their indices. Throws DeviceError, with the reason, if there is none. */
export async function listGPUs(): Promise<FoundGPU[]> {
  const found: FoundGPU[] = [];
  for (const { name, backend, isHidden, open } of await findAdapters()) {
    const adapter = isHidden ? null : await requestAdapter(await open()).catch(() => null);
    found.push({ name, backend, adapter, isSoftware: adapter !== null && isSoftware(adapter.info) });
  }
  return found;
}
