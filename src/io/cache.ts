/** Where what was fetched is kept. */
import { environment, homeDirectory, joinPath, systemCacheDirectory } from "#platform";

/** Lowrank's own cache: LOWRANK_CACHE, or a folder in the system's place for such. */
export function cacheDirectory(): string {
  return withHome(environment("LOWRANK_CACHE")) ?? joinPath(systemCacheDirectory(), "lowrank");
}

/** Hugging Face's home: HF_HOME, or ~/.cache/huggingface on every system. */
export function hubHome(): string {
  const cache = withHome(environment("XDG_CACHE_HOME")) ?? joinPath(homeDirectory(), ".cache");
  return withHome(environment("HF_HOME")) ?? joinPath(cache, "huggingface");
}

/** The hub's cache, which Python's huggingface_hub shares. */
export function hubCacheDirectory(): string {
  return withHome(environment("HF_HUB_CACHE") ?? environment("HUGGINGFACE_HUB_CACHE")) ?? joinPath(hubHome(), "hub");
}

/** A path in which a leading ~ is the home directory. */
function withHome(path: string | undefined): string | undefined {
  return path?.replace(/^~(?=$|[\\/])/, () => homeDirectory());
}
