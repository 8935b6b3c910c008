/** Models of the Hugging Face hub: from the local cache, or downloaded into it. */
import { joinPath } from "#platform";
import { parseConfig } from "../config.ts";
import { ConfigError, DownloadError } from "../errors.ts";
import { nearest } from "../suggest.ts";
import { hubCacheDirectory } from "./cache.ts";
import { readJson } from "./common.ts";
import type { DownloadOptions } from "./download-options.ts";
import { cachedSnapshot, downloadSnapshot, HUB_MODELS, hubNameOf, isOffline } from "./hub.ts";
import { checkTokenizer } from "./tokenizer-files.ts";

/** The directory of a model of the hub. `shipped` names are listed in errors. Throws as `resolveModel` does. */
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
    throw new DownloadError(`the model "${nameOrDirectory}" is not in the cache, and HF_HUB_OFFLINE is set`, {
      where: hubCacheDirectory(),
      expected: `a directory of that name, or ${hubName} in the hub's cache`,
      found: "neither",
      hint: "unset HF_HUB_OFFLINE to download it, or copy the cache from another machine",
    });
  return downloadSnapshot(hubName, checkSmallFiles, options);
}

/** Checks a model's config and tokenizer before its weights are downloaded. */
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
    found: "no directory and no known model with that name",
    ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
  });
}
