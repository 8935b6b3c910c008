/**
 * A folder of sentence-transformers has more than an encoder: how its tokens make a vector, and what is put before a
 * text.
 */
import { createHasher, exists, joinPath } from "#platform";
import { checkKinds, isText, lookUp, show } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { isGguf } from "../platform/paths.ts";
import type { Pooling } from "../tasks/index.ts";
import { readJson } from "./common.ts";
import { makeGgufFiles } from "./gguf/gguf-files.ts";
import type { Json } from "./tokenizer/steps.ts";
import { PROMPTS, SENTENCE_FILES } from "./tokenizer/tokenizer-names.ts";
import type { Vocabulary } from "./tokenizer/vocabulary.ts";

const [MODULES, POOLING, LENGTH] = SENTENCE_FILES;
/** Modules that leave the pooling's vector as it is, but for its length. */
const KNOWN = ["Transformer", "Pooling", "Normalize"];
const POOLINGS: Readonly<Record<string, Pooling>> = { mean: "mean", cls: "cls" };

/** The pooling of a folder, and its default prompt; "": none. Throws ConfigError, FormatError. */
export async function readSentence(place: string): Promise<{ pooling?: Pooling; prompt: string }> {
  // A GGUF file may have them beside it.
  const directory = isGguf(place) ? joinPath(place, "..") : place;
  const ofGguf = isGguf(place) ? await makeGgufFiles(place, ...SENTENCE_FILES, PROMPTS) : undefined;
  const read = async (name: string, none: object = {}): Promise<Json> => {
    const path = joinPath(directory, name);
    const json = ofGguf?.get(name) ?? ((await exists(path)) ? await readJson(path) : none);
    checkKinds({ json }, { json: Array.isArray(none) ? "objects" : "object" }, path);
    return json as Json;
  };
  const refuse = (name: string, expected: string, found: unknown, hint = PLAIN): never => {
    const details = { where: joinPath(directory, name), expected, found: show(found), hint };
    throw new ConfigError("unsupported-model-config", "a step of sentence-transformers is not supported", details);
  };
  const { prompts, default_prompt_name: name = null } = await read(PROMPTS);
  const prompt = name === null ? "" : lookUp({ ...(prompts as Record<string, unknown>) }, name);
  if (!isText(prompt))
    return refuse(PROMPTS, "default_prompt_name: null, or one of the prompts", name, "set it to null");
  const modules = Object.values(await read(MODULES, [])) as Json[];
  if (modules.length === 0) return { prompt };
  const types = modules.map(({ type }) => String(type).replace(/.*\./, ""));
  const other = types.find((type) => !KNOWN.includes(type));
  if (other !== undefined) refuse(MODULES, KNOWN.join(", "), other);
  if ((await read(LENGTH)).do_lower_case === true) refuse(LENGTH, "do_lower_case: false", true);
  const { pooling_mode, include_prompt, ...others } = await read(POOLING);
  // Before version 6 there was a flag for each: pooling_mode_mean_tokens.
  const flags = Object.keys(others).filter((key) => key.startsWith("pooling_mode_") && others[key] === true);
  const modes = [pooling_mode ?? flags.map((key) => key.replace(/^pooling_mode_|_tokens?$/g, ""))].flat();
  const pooling = modes.length === 1 ? lookUp(POOLINGS, modes[0]) : undefined;
  if (!pooling) return refuse(POOLING, "pooling_mode: mean or cls", modes.join(", "));
  if (prompt !== "" && include_prompt === false) refuse(POOLING, "include_prompt: true", include_prompt);
  return { pooling, prompt };
}

const PLAIN = "without modules.json the folder is an encoder, of which a text is the mean of its tokens";

/** A vocabulary whose rows begin with a prompt: no other reads texts as it does. */
export async function withPrompt(vocabulary: Vocabulary, prompt: string): Promise<Vocabulary> {
  if (prompt === "") return vocabulary;
  const hash = await createHasher("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify([vocabulary.fingerprint, prompt])));
  return { ...vocabulary, prompt, fingerprint: await hash.digest() };
}
