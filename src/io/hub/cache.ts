/** Directories of the download caches. */
import { environment, homeDirectory, joinPath, systemCacheDirectory } from "#platform";

/** Lowrank's own cache: LOWRANK_CACHE, or a directory in the system's cache directory. */
export function cacheDirectory(): string {
  return withHome(environment("LOWRANK_CACHE")) ?? joinPath(systemCacheDirectory(), "lowrank");
}

/** Hugging Face's home: HF_HOME, or ~/.cache/huggingface on every system. */
export function hubHome(): string {
  const cache = withHome(environment("XDG_CACHE_HOME")) ?? joinPath(homeDirectory(), ".cache");
  return withHome(environment("HF_HOME")) ?? joinPath(cache, "huggingface");
}

/** The hub's cache, shared with Python's huggingface_hub. */
export function hubCacheDirectory(): string {
  return withHome(environment("HF_HUB_CACHE") ?? environment("HUGGINGFACE_HUB_CACHE")) ?? joinPath(hubHome(), "hub");
}

/** Expands a leading ~ to the home directory. */
function withHome(path: string | undefined): string | undefined {
  return path?.replace(/^~(?=$|[\\/])/, () => homeDirectory());
}
