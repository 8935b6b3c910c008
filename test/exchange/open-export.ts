/** Opens an export with PEFT and transformers by the code of its README, and compares what they compute with ours. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../../src/backend/backend.ts";
import { openBackend } from "../../src/backend/device.ts";
import { isEncoder } from "../../src/core/config.ts";
import { readsPairs, type TextOrPair } from "../../src/core/pair.ts";
import { planExport } from "../../src/export/index.ts";
import { longestText } from "../../src/export/peft-code.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { baseDtype } from "../../src/io/peft/adapter-meta.ts";
import { type OpenedAdapter, openAdapter } from "../../src/io/peft/open-adapter.ts";
import type { Adapter, AdapterMeta } from "../../src/io/peft/peft.ts";
import type { Decision } from "../../src/tasks/predictions.ts";

export { encoderModel } from "../helpers/tiny.ts";

/** The largest error of the logits, relative to their norm: float32 on both sides. */
const TOLERANCE = 1e-4;

const TEXTS = ["See you at noon.", "WINNER!! Claim your free prize now: call 0900 123 456", "Ça va? 今日は 😀\n\tok"];

/** For a fixture of test/golden/encoders. */
const WORDS = ["w5 w27 w3", "w90", "w44 w44 w2 w31 w77, w60 w5"];

/** Whether the export of a run computes what the run does, and a line about it. */
export async function openExport(
  run: string,
  form: "peft" | "merged",
  directory: string,
  python: string,
): Promise<{ isRight: boolean; line: string }> {
  const opened = await openAdapter(run);
  try {
    const { meta } = opened.adapter;
    const { losses } = await planExport(form, opened);
    const readme = readFileSync(join(directory, "README.md"), "utf8");
    const [, , code] = /^(```+)python\n(.*?)^\1$/ms.exec(readme)!;
    const pipeline = readme.includes('also in pipeline("text-classification")');
    const texts = textsToTry(opened.adapter);
    const { begin, end } = opened.baseModel.vocabulary;
    const isLm = meta.task.objective === "lm";
    const job = {
      directory,
      code,
      texts,
      pipeline,
      length: longestText(meta),
      ...(isLm ? { begin: (begin ?? end).id } : {}),
    };
    const { stdout, stderr } = spawnSync(python, ["test/exchange/open_export.py", JSON.stringify(job)], {
      encoding: "utf8",
    });
    const [answer] = stdout.split("\n");
    if (!answer) return { isRight: false, line: stderr.trim().split("\n").at(-1)! };
    const { version, labels, values } = JSON.parse(answer) as {
      version: string;
      labels: (string | number)[];
      values: number[][];
    };
    const ours = await computeOurs(opened, form === "peft", losses, texts, await openBackend("wasm"));
    const error = relativeError(values.flat(), ours);
    const areSame = labels.length === meta.labels.length && labels.every((label, i) => label === meta.labels[i]);
    return {
      isRight: error <= TOLERANCE && areSame,
      line: `opened by transformers ${version}${pipeline ? ", also by its pipeline" : ""}: ${error.toExponential(0)}`,
    };
  } finally {
    await opened.baseModel.close();
  }
}

/** Some texts, and for a classifier one that is too long. */
function textsToTry({ meta }: Adapter): TextOrPair[] {
  if (meta.task.objective === "lm") return TEXTS;
  const [some, long] = isEncoder(meta.model) ? [WORDS, "w9 w8 w7 w6 "] : [TEXTS, "I will call you later. "];
  const all = [...some, long.repeat(longestText(meta) / 3)];
  return readsPairs(meta) ? all.map((text, i): TextOrPair => [text, all.at(i - 1)!]) : all;
}

/** The task without padding: at the last token instead of the last position. */
const withoutPadding = ({ task, settings: { padTo, ...settings } }: AdapterMeta) => ({
  task: { ...task, pooling: task.pooling === "last" ? ("last-token" as const) : task.pooling },
  settings: { ...settings, ...(padTo ? { maxLength: padTo } : {}) },
});

/** Our logits of the texts, or their losses, as the exported model computes them. */
async function computeOurs(
  { adapter, baseModel }: OpenedAdapter,
  isPeft: boolean,
  losses: readonly string[],
  texts: readonly TextOrPair[],
  device: Backend,
): Promise<number[]> {
  const { tensors } = adapter;
  const meta = { ...adapter.meta, ...withoutPadding(adapter.meta) };
  const exported = new Map(tensors);
  if (losses.some((loss) => loss.includes("a bias of the head")))
    exported.set("head.bias", { ...exported.get("head.bias")!, data: new Float32Array(meta.labels.length) });
  // A merged model has the base model as the run had it in f16; PEFT's adapter is tried on one in f32.
  const dtype = !isPeft && baseDtype(meta) === "f16" ? "f16" : "f32";
  try {
    if (meta.task.objective !== "lm") {
      const classifier = await Classifier.of({ meta, tensors: exported }, baseModel, device, dtype);
      // An export has the temperature in its head.
      const { temperature = 1 } = meta.settings as Decision;
      return [...(await classifier.logits(texts))].map((logit) => logit / temperature);
    }
    const lm = await LanguageModel.of(baseModel, { meta, tensors: exported }, { device, dtype });
    const measured: number[] = [];
    for (const text of texts) measured.push((await lm.score(text as string)).loss);
    return measured;
  } finally {
    device.destroy();
  }
}

/** ||a - b|| / ||b||; NaN if they are not as many. */
function relativeError(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Number.NaN;
  return Math.hypot(...a.map((value, i) => value - b[i]!)) / Math.hypot(...b);
}
