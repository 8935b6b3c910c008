/** Models that are neither shipped nor a directory: of the hub's cache, or fetched into it. */
import { joinPath } from "#platform";
import { parseConfig } from "../config.ts";
import { ConfigError, DownloadError } from "../errors.ts";
import { nearest } from "../suggest.ts";
import { hubCacheDirectory } from "./cache.ts";
import { readJson } from "./common.ts";
import type { DownloadOptions } from "./download.ts";
import { cachedSnapshot, downloadSnapshot, HUB_MODELS, hubNameOf, isOffline } from "./hub.ts";
import { checkTokenizer } from "./tokenizer-files.ts";

/** The directory of a model of the hub; throws as `resolveModel` does, which knows what is `shipped`. */
export async function resolveHubModel(
  nameOrDirectory: string,
  shipped: readonly string[],
  options: DownloadOptions,
): Promise<string> {
  const hubName = hubNameOf(nameOrDirectory);
  if (hubName === undefined) throw unknownModel(nameOrDirectory, shipped);
  const cached = await cachedSnapshot(hubName);
  if (cached !== undefined) return cached;
  if (isOffline())
    throw new DownloadError(`the model "${nameOrDirectory}" is not here, and HF_HUB_OFFLINE forbids to fetch it`, {
      where: hubCacheDirectory(),
      expected: `a directory of that name, or ${hubName} in the hub's cache`,
      found: "neither",
      hint: "unset HF_HUB_OFFLINE once, or fetch it on another machine and copy the cache",
    });
  return downloadSnapshot(hubName, checkSmallFiles, options);
}

/** What can be said of a model before its weights are there. */
async function checkSmallFiles(directory: string): Promise<void> {
  const path = joinPath(directory, "config.json");
  parseConfig(await readJson(path), path);
  await checkTokenizer(directory);
}

function unknownModel(name: string, shipped: readonly string[]): ConfigError {
  const known = [...shipped, ...Object.keys(HUB_MODELS)];
  const near = nearest(name, known);
  return new ConfigError(`there is no model "${name}"`, {
    expected: `a directory with config.json and model.safetensors, owner/name on the hub, or one of: ${known.join(", ")}`,
    found: "no directory and no known model of that name",
    ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
  });
}
