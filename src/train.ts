/** train: fine-tunes GPT-2 as a text classifier and leaves a run directory. */
import { absolutePath, exists, joinPath, remove } from "#platform";
import { choice, command, list, main, number } from "./cli.ts";
import { INITS, MODES, POOLINGS, SCALINGS, TARGETS, type Target } from "./config.ts";
import type { Padding } from "./data/dataset.ts";
import { type DatasetOptions, type DatasetSpec, type LoadedDataset, loadDataset } from "./data/datasets.ts";
import { DEVICES, type DeviceName, openDevice } from "./device.ts";
import { ConfigError } from "./errors.ts";
import { type GPT2Checkpoint, loadModel } from "./io/hf.ts";
import { createProgress, type Progress } from "./report/progress.ts";
import { keepCheckpoint, lastCheckpoint } from "./train/checkpoint.ts";
import { DEFAULTS, PAPER, resolveOptions, type TrainOptions } from "./train/options.ts";
import {
  beginRun,
  type RunConfig,
  readRunConfig,
  refuseExisting,
  runConfig,
  saveFailedRun,
  saveRun,
} from "./train/run-directory.ts";
import { SCHEDULES } from "./train/schedule.ts";
import { describeData, describePlan, describeResult } from "./train/summary.ts";
import {
  type Checkpoint,
  fineTune,
  RunFailed,
  type StepRecord,
  specOf,
  type TrainEvent,
  type TrainResult,
} from "./train/trainer.ts";

/** Everything that a flag can set; what is left out comes from the preset, then from the defaults. */
interface Settings extends Partial<TrainOptions> {
  model?: string;
  data?: string;
  train?: string;
  val?: string;
  test?: string;
  dataset?: string;
  textColumn?: string;
  labelColumn?: string;
  padding?: Padding;
  maxLength?: number;
}

interface Flags extends Settings {
  device: DeviceName;
  preset: keyof typeof PRESETS;
  out?: string;
  force?: boolean;
  json?: boolean;
  checkpointEvery?: number;
  resume?: string;
}

const PRESETS = {
  quickstart: { model: "gpt2-micro", dataset: "spam-assassin" },
  paper: { ...PAPER, model: "gpt2", padding: "longest" },
} as const satisfies Record<string, Settings>;

function padding(value: string): Padding {
  return value === "none" || value === "longest" ? value : number(value);
}

function targets(value: string): Target[] {
  // Checked with the other LoRA settings, where the nearest name is suggested.
  return value === "all" ? [...TARGETS] : (list(value) as Target[]);
}

const program = command(
  "train",
  "Fine-tunes GPT-2 as a text classifier: with LoRA, in full, or its last block or layer.\n" +
    "Without flags: the bundled gpt2-micro on the bundled mail corpus, spam against ham, in a few minutes.",
  "  train\n" +
    "  train --data messages.csv --rank 16 --alpha 32 --out runs/r16\n" +
    "  train --train train.csv --val val.csv --test test.csv --mode last_block --epochs 10\n" +
    "  train --preset paper --model path/to/gpt2 --data sms.tsv",
)
  .option("--model <dir|name>", "Hugging Face directory of a GPT-2, or the name of a bundled one (gpt2-micro)")
  .option("--data <file>", "CSV, TSV or JSON lines to balance and split 70/10/20")
  .option("--train <file>", "training set, with --val and --test: as they are, not balanced")
  .option("--val <file>", "validation set")
  .option("--test <file>", "test set")
  .option("--dataset <name>", "a bundled data set (spam-assassin)")
  .option("--text-column <name>", "column of the text; guessed where left out")
  .option("--label-column <name>", "column of the label; guessed where left out")
  .addOption(choice("--mode <mode>", "what learns (default: lora)", MODES))
  .option("--rank <r>", "LoRA rank (default: 8)", number)
  .option("--alpha <a>", "LoRA alpha (default: 16)", number)
  .addOption(choice("--scaling <s>", "factor of the adapters (default: alpha/r)", SCALINGS))
  .addOption(choice("--init <i>", "how A begins; B begins at 0 (default: kaiming)", INITS))
  .option("--targets <list>", `matrices with an adapter, of ${TARGETS.join(",")} (default: all)`, targets)
  .addOption(choice("--pooling <p>", "where a message is classified (default: last-token)", POOLINGS))
  .option("--no-head-bias", "train the head without a bias, as PEFT and transformers know it")
  .option("--padding <none|longest|N>", "pad rows as the paper does, or pack them (default: none)", padding)
  .option("--max-length <n>", "longest message in tokens; longer ones are cut (default: the model's context)", number)
  .option("--epochs <n>", "passes over the training set (default: 3)", number)
  .option("--batch-size <n>", "messages a batch (default: 8)", number)
  .option("--accumulate <n>", "batches a step (default: 1)", number)
  .option("--lr <rate>", "peak learning rate (default: 1e-3)", number)
  .addOption(choice("--schedule <s>", "learning rate after the warm-up (default: linear)", SCHEDULES))
  .option("--warmup <n>", "warm-up in steps, or as a share of the run below 1 (default: 0.05)", number)
  .option("--weight-decay <x>", "AdamW's decoupled weight decay (default: 0.1)", number)
  .option("--clip <x>", "largest global gradient norm; 0: no clipping (default: 0)", number)
  .option("--eval-every <n>", "steps between evaluations; 0: twice an epoch (default: 0)", number)
  .option("--seed <n>", "seed of split, order and initial values (default: 1)", number)
  .addOption(choice("--device <name>", "where to compute", DEVICES).default("auto"))
  .option("--out <dir>", "run directory (default: runs/<date and time>)")
  .option("--force", "replace an existing run directory")
  .option("--checkpoint-every <n>", "keep the last two checkpoints of a run in its directory, n steps apart", number)
  .option("--resume <dir>", "go on with a run from its last checkpoint, with its settings, to the same bits")
  .addOption(choice("--preset <name>", "settings to start from", Object.keys(PRESETS)).default("quickstart"))
  .option("--json", "print events as JSON, one a line, and nothing else on stdout")
  .allowExcessArguments(false);

/** Flags over the preset; a source of data on the command line replaces the preset's. */
function settingsOf(flags: Flags): Settings {
  const { preset, headBias, ...given } = flags;
  const settings: Settings = { ...(PRESETS[preset] as Settings), ...given };
  // Commander sets true where --no-head-bias is absent: that is no wish.
  if (headBias === false) settings.headBias = false;
  const hasFiles = [given.data, given.train, given.val, given.test].some((file) => file !== undefined);
  if (hasFiles && given.dataset === undefined) delete settings.dataset;
  return settings;
}

function datasetSpec({ data, train, val, test, dataset }: Settings): DatasetSpec {
  const splits = [train, val, test].filter((file) => file !== undefined);
  const sources = [data !== undefined, splits.length > 0, dataset !== undefined].filter(Boolean).length;
  const given = Object.entries({ data, train, val, test, dataset }).flatMap(([key, value]) =>
    value === undefined ? [] : [`--${key}`],
  );
  if (sources !== 1 || (splits.length > 0 && splits.length < 3))
    throw new ConfigError("it is not clear what to train on", {
      expected: "one of --data FILE, --dataset NAME, or all of --train, --val and --test",
      found: given.length === 0 ? "none of them" : given.join(", "),
    });
  if (data !== undefined) return { file: data };
  if (dataset !== undefined) return { name: dataset };
  return { train: train!, val: val!, test: test! };
}

function datasetOptions(settings: Settings, seed: number, context: number): DatasetOptions {
  const { textColumn, labelColumn, maxLength = context, padding = "none" } = settings;
  if (maxLength > context || (typeof padding === "number" && padding > context))
    throw new ConfigError("messages would be longer than the model's context", {
      expected: `at most ${context} tokens`,
      found: `${Math.max(maxLength, typeof padding === "number" ? padding : 0)}`,
    });
  return {
    seed,
    maxLength,
    padding,
    ...(textColumn === undefined ? {} : { textColumn }),
    ...(labelColumn === undefined ? {} : { labelColumn }),
  };
}

/** The training options among the settings. */
function trainOptions(settings: Settings): TrainOptions {
  return resolveOptions(Object.fromEntries(Object.entries(settings).filter(([key]) => key in DEFAULTS)));
}

/** Steps over which the progress shows means: a single one has too few messages to tell anything. */
const RECENT_STEPS = 20;

/** Prints a run as it goes: for people on a terminal, plain lines elsewhere, or JSON. */
class Printer {
  private progress: Progress | undefined;
  private recent: StepRecord[] = [];

  constructor(
    private readonly json: boolean,
    private readonly data: LoadedDataset,
  ) {}

  begin(model: string): void {
    const { source, labels, stats } = this.data;
    console.log(
      this.json ? JSON.stringify({ type: "data", model, source, labels, stats }) : describeData(this.data, model),
    );
  }

  event(event: TrainEvent): void {
    if (this.json) {
      const line = jsonEvent(event);
      if (line) console.log(JSON.stringify(line));
      return;
    }
    switch (event.type) {
      case "plan":
        console.log(describePlan(event, event.plan));
        break;
      case "start":
        this.progress = createProgress({ total: event.steps, stream: process.stderr });
        break;
      case "step": {
        const { record, examplesPerSecond, secondsLeft } = event;
        this.recent = [...this.recent, record].slice(-RECENT_STEPS);
        const [loss, accuracy] = [this.mean("loss"), this.mean("accuracy")];
        const epoch = Math.ceil(record.epoch);
        this.progress?.update({ step: record.step, epoch, loss, accuracy, examplesPerSecond, secondsLeft });
        break;
      }
      case "evaluation":
        break;
      case "end":
        this.stop();
        console.log(describeResult(event.result, this.data));
    }
  }

  stop(): void {
    this.progress?.stop();
    this.progress = undefined;
  }

  private mean(key: "loss" | "accuracy"): number {
    return this.recent.reduce((sum, record) => sum + record[key], 0) / this.recent.length;
  }
}

/** An event without what is large: tensors, the plan, single predictions. */
function jsonEvent(event: TrainEvent): object | null {
  if (event.type === "plan") return { type: "plan", device: event.device, trainable: event.trainable };
  if (event.type !== "end") return event;
  const { options, stats, before, after, seconds, aborted } = event.result;
  return { type: "end", options, stats, before, after, seconds, aborted };
}

function defaultOut(): string {
  return joinPath("runs", new Date().toISOString().slice(0, 19).replace("T", "_").replaceAll(":", "-"));
}

/** What a run is made of, from flags or from the run that is gone on with. */
interface Job {
  out: string;
  modelName: string;
  model: GPT2Checkpoint;
  data: LoadedDataset;
  options: TrainOptions;
  config: RunConfig;
  resume?: Checkpoint;
}

async function newJob(flags: Flags): Promise<Job> {
  const settings = settingsOf(flags);
  const options = trainOptions(settings);
  const spec = datasetSpec(settings);
  const out = flags.out ?? defaultOut();
  await refuseExisting(out, flags.force ?? false);
  const model = await loadModel(settings.model!);
  const dataOptions = datasetOptions(settings, options.seed, model.config.n_positions);
  const data = await loadDataset(spec, dataOptions);
  const config = runConfig(model, data, options, { ...absolute(spec), ...dataOptions });
  return { out, modelName: settings.model!, model, data, options, config };
}

/** Files by their full paths, so that a run can be gone on with from anywhere. */
function absolute(spec: DatasetSpec): DatasetSpec {
  if ("name" in spec) return spec;
  return Object.fromEntries(Object.entries(spec).map(([key, path]) => [key, absolutePath(String(path))])) as DatasetSpec;
}

/** Flags that make sense beside --resume: how to compute and print, not what. */
const BESIDE_RESUME = ["resume", "device", "threads", "json", "checkpointEvery"];

async function resumedJob(directory: string): Promise<Job> {
  const refused = program.options
    .filter((option) => program.getOptionValueSource(option.attributeName()) === "cli")
    .filter((option) => !BESIDE_RESUME.includes(option.attributeName()));
  if (refused.length > 0)
    throw new ConfigError("a run goes on with the settings that it began with", {
      expected: "--resume DIR alone, or with --device, --checkpoint-every and --json",
      found: refused.map(({ long }) => long).join(", "),
    });
  const config = await readRunConfig(directory);
  const resume = await lastCheckpoint(directory);
  const model = await loadModel(config.model);
  const data = await loadDataset(config.data as unknown as DatasetSpec, config.data as DatasetOptions);
  const { counts } = runConfig(model, data, config.options);
  if (JSON.stringify(counts) !== JSON.stringify(config.counts))
    throw new ConfigError("the data has changed since the run began", {
      where: directory,
      expected: JSON.stringify(config.counts),
      found: JSON.stringify(counts),
    });
  return {
    out: directory,
    modelName: config.model,
    model,
    data,
    options: resolveOptions(config.options),
    config,
    resume,
  };
}

await main(async () => {
  program.parse();
  const flags = program.opts<Flags>();
  const job = flags.resume === undefined ? await newJob(flags) : await resumedJob(flags.resume);
  const { out, model, data, options, config, resume } = job;
  // A run that was killed goes on; where its interval is not given again it keeps none in between.
  const every = flags.checkpointEvery ?? 0;
  if (!Number.isSafeInteger(every) || every < 0)
    throw new ConfigError("--checkpoint-every makes no sense", {
      expected: "a whole number of steps",
      found: `${every}`,
    });
  const checkpoints = flags.checkpointEvery !== undefined || resume !== undefined;
  let begun = resume !== undefined;
  const device = await openDevice(flags.device);
  const printer = new Printer(flags.json ?? false, data);
  printer.begin(job.modelName);
  const abort = new AbortController();
  const interrupt = () => {
    if (abort.signal.aborted) process.exit(130);
    console.error("\nstopping after this step; again to stop at once and save nothing");
    abort.abort();
  };
  process.on("SIGINT", interrupt);
  try {
    const result: TrainResult = await fineTune({
      device,
      model,
      data,
      ...options,
      signal: abort.signal,
      onEvent: (event) => printer.event(event),
      ...(resume === undefined ? {} : { resume }),
      ...(checkpoints
        ? {
            checkpointEvery: every,
            onCheckpoint: async (checkpoint) => {
              if (!begun) {
                await remove(out);
                await beginRun(out, config, device.info);
                begun = true;
              }
              await keepCheckpoint(out, checkpoint);
            },
          }
        : {}),
    });
    if (result.aborted && checkpoints) {
      console.error(`stopped after step ${result.steps.length}; go on with:  node dist/train.js --resume ${out}`);
      return 130;
    }
    const { peft, reason } = await saveRun(out, config, result);
    if (flags.json) console.log(JSON.stringify({ type: "saved", directory: out, peft, reason }));
    else {
      console.log(`saved in ${out}${result.aborted ? ", stopped early" : ""}`);
      if (options.mode === "lora")
        console.log(peft ? "PEFT can load its adapter/" : `PEFT cannot load its adapter/: ${reason}`);
      console.log(`try it:  node dist/classify.js --run ${out} "You have won a prize, call now"`);
    }
    return result.aborted ? 130 : 0;
  } catch (error) {
    printer.stop();
    if (error instanceof RunFailed) {
      // A run that is there already is only replaced by one that is done.
      const place = (await exists(out)) ? `${out}.failed` : out;
      await saveFailedRun(place, config, specOf(model, data, options), error.contents, device.info, error.message);
      console.error(`what was learned before is in ${joinPath(place, "adapter")}`);
    }
    throw error;
  } finally {
    process.off("SIGINT", interrupt);
    device.destroy();
    await model.close();
  }
});
