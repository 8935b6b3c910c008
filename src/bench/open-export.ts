/** Opens an export with PEFT and transformers, where python3 has them, and compares what they compute with ours. */
import type { Backend } from "../backend/backend.ts";
import { LowrankError } from "../errors.ts";
import { type Loss, withoutPadding } from "../export/losses.ts";
import { longestText, needsOlder, OLDER } from "../export/peft-code.ts";
import { Classifier } from "../infer/classifier.ts";
import { LanguageModel } from "../infer/language-model.ts";
import { baseDtype } from "../io/adapter-meta.ts";
import type { OpenedAdapter } from "../io/open-adapter.ts";
import { type Adapter, PEFT_CONFIG } from "../io/peft.ts";
import { readsPairs, type TextOrPair } from "../pair.ts";
import script from "./open_export.py";
import { runProcess } from "./processes.ts";

/** Seconds in which a model is opened and classifies four texts. */
const LIMIT = 600;
/** The largest error of the logits, relative to their norm: float32 on both sides. */
const TOLERANCE = 1e-4;

const TEXTS = ["See you at noon.", "WINNER!! Claim your free prize now: call 0900 123 456", "Ça va? 今日は 😀\n\tok"];

type Line =
  | { versions: Record<string, string> }
  | { missing: string }
  | { labels: (string | number)[]; values: number[][] };

interface Written {
  /** The directory, and the names of its files. */
  directory: string;
  files: ReadonlySet<string>;
  /** Python that loads it there. */
  code: readonly string[];
  losses: readonly Loss[];
}

/**
 * Says by what it was opened and how far its logits are from ours, or why that could not be tried. Throws LowrankError
 * if a library cannot open it, or computes something else.
 */
export async function openExport(opened: OpenedAdapter, written: Written, openDevice: () => Promise<Backend>) {
  const { meta } = opened.adapter;
  const { directory, files, code } = written;
  const isPeft = files.has(PEFT_CONFIG);
  const libraries = isPeft ? ["torch", "transformers", "peft"] : ["torch", "transformers"];
  const texts = textsToTry(opened.adapter);
  const { vocabulary } = opened.checkpoint;
  const begin = meta.task.objective === "lm" ? { begin: (vocabulary.begin ?? vocabulary.end).id } : {};
  const job = { directory, code: code.join("\n"), libraries, texts, length: longestText(meta), ...begin };
  const { lines, failure } = await runProcess<Line>("python3", ["-c", script, JSON.stringify(job)], LIMIT);
  const versions = lines.flatMap((line) => ("versions" in line ? [line.versions] : []))[0];
  for (const line of lines)
    if ("missing" in line) return `not checked: python3 has no ${line.missing} (pip install ${line.missing})`;
  if (!versions) return `not checked: python3 cannot be run (${failure})`;
  const by = libraries.slice(1).map((name) => `${name === "peft" ? "PEFT" : name} ${versions[name]}`);
  const isTooNew = needsOlder(meta) && isPeft && isFrom524(versions.transformers!);
  if (isTooNew) return `not checked: ${OLDER} python3 has ${versions.transformers}`;
  const said = lines.flatMap((line) => ("values" in line ? [line] : []))[0];
  if (failure !== null || !said)
    throw new LowrankError("process-ended", "the export cannot be opened", {
      where: by.join(", "),
      found: failure ?? "no answer",
      hint: "nothing was written; --to peft and --to merged write what they have without opening it",
    });
  const ours = await computeOurs(opened, written, texts, await openDevice());
  const error = relativeError(said.values.flat(), ours);
  const areSame = said.labels.length === meta.labels.length && said.labels.every((one, i) => one === meta.labels[i]);
  if (!(error <= TOLERANCE) || !areSame)
    throw new LowrankError("results-differ", "the export does not compute what the run does", {
      where: by.join(", "),
      expected: `${meta.labels.join(", ")}; an error of at most ${TOLERANCE}`,
      found: `${said.labels.join(", ")}; an error of ${error.toPrecision(2)}`,
      hint: "nothing was written; please report this",
    });
  const what = "begin" in job ? "losses" : "logits";
  return `opened by ${by.join(", ")}: its ${what} are ours, with a relative error of ${error.toExponential(0)}`;
}

/** Whether a version is one for which `OLDER` holds. */
function isFrom524(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 5 || (major === 5 && minor >= 24);
}

/** Some texts, and for a classifier one that is too long. */
function textsToTry({ meta }: Adapter): TextOrPair[] {
  if (meta.task.objective === "lm") return TEXTS;
  const all = [...TEXTS, "I will call you later. ".repeat(longestText(meta) / 4)];
  return readsPairs(meta) ? all.map((text, i): TextOrPair => [text, all.at(i - 1)!]) : all;
}

/** Our logits of the texts, or their losses, as the exported model computes them. */
async function computeOurs(
  { adapter, checkpoint }: OpenedAdapter,
  { files, losses }: Written,
  texts: readonly TextOrPair[],
  device: Backend,
): Promise<number[]> {
  const { meta, tensors } = withoutPadding(adapter);
  const hasLostBias = losses.some(({ kind }) => kind === "bias");
  const own = new Map(tensors);
  if (hasLostBias) own.set("head.bias", { ...own.get("head.bias")!, data: new Float32Array(meta.labels.length) });
  // A merged model has the base model as the run had it in f16; PEFT's adapter is tried on one in f32.
  const dtype = !files.has(PEFT_CONFIG) && baseDtype(meta) === "f16" ? "f16" : "f32";
  try {
    if (meta.task.objective !== "lm") {
      const classifier = await Classifier.of({ meta, tensors: own }, checkpoint, device, dtype);
      return [...(await classifier.logits(texts))];
    }
    const lm = await LanguageModel.of(checkpoint, { meta, tensors: own }, { device, dtype });
    const found: number[] = [];
    for (const text of texts) found.push((await lm.score(text as string)).loss);
    return found;
  } finally {
    device.destroy();
  }
}

/** ||a - b|| / ||b||; NaN if they are not as many. */
function relativeError(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Number.NaN;
  return Math.hypot(...a.map((value, i) => value - b[i]!)) / Math.hypot(...b);
}
