/** train: fine-tunes GPT-2 as a text classifier and leaves a run directory. */
import { absolutePath, exists, joinPath, remove } from "#platform";
import { choice, command, deviceFlag, main, number, threadsFlag } from "./cli.ts";
import { type DatasetOptions, type DatasetSpec, type LoadedDataset, loadDataset } from "./data/datasets.ts";
import { type DeviceName, openDevice } from "./device.ts";
import { ConfigError } from "./errors.ts";
import { type GPT2Checkpoint, loadModel } from "./io/hf.ts";
import { openAdapter } from "./io/open-adapter.ts";
import type { Adapter } from "./io/peft.ts";
import { downloadProgress } from "./report/download.ts";
import { createProgress, type Progress } from "./report/progress.ts";
import {
  addSettings,
  dataRecord,
  datasetOptions,
  datasetSpec,
  PRESETS,
  type Settings,
  settingsOf,
  trainOptions,
} from "./settings.ts";
import { keepCheckpoint, lastCheckpoint } from "./train/checkpoint.ts";
import { resolveOptions, type TrainOptions, withAdapter } from "./train/options.ts";
import { specOf } from "./train/preparation.ts";
import { type Checkpoint, RunFailed, type StepRecord, type TrainEvent, type TrainResult } from "./train/records.ts";
import { runCharts } from "./train/run-charts.ts";
import {
  beginRun,
  type RunConfig,
  readRunConfig,
  refuseExisting,
  runConfig,
  saveFailedRun,
  saveRun,
} from "./train/run-directory.ts";
import { describeData, describePlan, describeResult } from "./train/summary.ts";
import { fineTune } from "./train/trainer.ts";

interface Flags extends Settings {
  device: DeviceName;
  threads?: number;
  preset: keyof typeof PRESETS;
  out?: string;
  force?: boolean;
  json?: boolean;
  checkpointEvery?: number;
  resume?: string;
  adapter?: string;
}

const program = command(
  "train",
  "Fine-tunes GPT-2 as a text classifier: with LoRA, in full, or its last block or layer.\n" +
    "Without flags: the bundled gpt2-micro on the bundled mail corpus, spam against ham, in a few minutes.",
  "  train\n" +
    "  train --data messages.csv --rank 16 --alpha 32 --out runs/r16\n" +
    "  train --train train.csv --val val.csv --test test.csv --mode last_block --epochs 10\n" +
    "  train --preset paper --rank 16 --alpha 16\n" +
    "  train --adapter path/to/peft-adapter --model path/to/gpt2 --data messages.csv",
);
addSettings(program)
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--adapter <dir>", "go on from an adapter: of a run, or a PEFT LoRA adapter of a classifier (SEQ_CLS)")
  .option("--out <dir>", "run directory (default: runs/<date and time>)")
  .option("--force", "replace an existing run directory")
  .option("--checkpoint-every <n>", "keep the last two checkpoints of a run in its directory, n steps apart", number)
  .option("--resume <dir>", "go on with a run from its last checkpoint, with its settings, to the same bits")
  .addOption(choice("--preset <name>", "settings to start from", Object.keys(PRESETS)).default("quickstart"))
  .option("--json", "print events as JSON, one a line, and nothing else on stdout")
  .allowExcessArguments(false);

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

/** Downloads are told of on stderr. */
const DOWNLOADS = { onProgress: downloadProgress(process.stderr) };

/** What a run is made of, from flags or from the run that is gone on with. */
interface Job {
  out: string;
  /** Where it keeps its checkpoints until it is done: `out`, or beside a run that it replaces then. */
  kept: string;
  modelName: string;
  model: GPT2Checkpoint;
  data: LoadedDataset;
  options: TrainOptions;
  config: RunConfig;
  adapter?: Adapter;
  resume?: Checkpoint;
}

async function newJob(flags: Flags): Promise<Job> {
  const settings = settingsOf(flags, PRESETS[flags.preset]);
  const checked = trainOptions(settings);
  const spec = datasetSpec(settings);
  const out = flags.out ?? defaultOut();
  await refuseExisting(out, flags.force ?? false);
  const kept = (await exists(out)) ? `${out}.new` : out;
  if (flags.checkpointEvery !== undefined && kept !== out && (await exists(kept)))
    throw new ConfigError("a run that was to replace this one was stopped", {
      where: kept,
      hint: `go on with --resume ${kept}, or remove it`,
    });
  const { model, adapter } = await openModel(settings.model!, flags);
  const options = adapter ? trainOptions(withAdapter(settings, adapter.meta)) : checked;
  const dataOptions = datasetOptions(settings, options.seed, model.config.n_positions);
  const data = await loadDataset(spec, { ...dataOptions, ...DOWNLOADS });
  const config = runConfig(model, data, options, dataRecord(spec, dataOptions, data));
  if (!adapter) return { out, kept, modelName: settings.model!, model, data, options, config };
  config.adapter = absolutePath(flags.adapter!);
  return { out, kept, modelName: config.model, model, data, options, config, adapter };
}

/** The base model, and the adapter to go on from: that names its base model, unless a flag does. */
async function openModel(
  name: string,
  { adapter: directory, model: given }: { adapter?: string; model?: string },
): Promise<{ model: GPT2Checkpoint; adapter?: Adapter }> {
  if (directory === undefined) return { model: await loadModel(name, DOWNLOADS) };
  const { checkpoint, adapter } = await openAdapter(directory, given, DOWNLOADS);
  return { model: checkpoint, adapter };
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
  const { model, adapter } = await openModel(config.model, config);
  const data = await loadDataset(config.data as unknown as DatasetSpec, {
    ...(config.data as DatasetOptions),
    ...DOWNLOADS,
  });
  const { counts } = runConfig(model, data, config.options);
  if (JSON.stringify(counts) !== JSON.stringify(config.counts))
    throw new ConfigError("the data has changed since the run began", {
      where: directory,
      expected: JSON.stringify(config.counts),
      found: JSON.stringify(counts),
    });
  return {
    out: directory,
    kept: directory,
    modelName: config.model,
    model,
    data,
    options: resolveOptions(config.options),
    config,
    resume,
    ...(adapter ? { adapter } : {}),
  };
}

await main(async () => {
  program.parse();
  const flags = program.opts<Flags>();
  const job = flags.resume === undefined ? await newJob(flags) : await resumedJob(flags.resume);
  const { out, kept, model, data, options, config, adapter, resume } = job;
  // A run that was killed goes on; where its interval is not given again it keeps none in between.
  const every = flags.checkpointEvery ?? 0;
  if (!Number.isSafeInteger(every) || every < 0)
    throw new ConfigError("--checkpoint-every makes no sense", {
      expected: "a whole number of steps",
      found: `${every}`,
    });
  const checkpoints = flags.checkpointEvery !== undefined || resume !== undefined;
  let begun = resume !== undefined;
  const device = await openDevice(flags.device, flags);
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
      ...(adapter === undefined ? {} : { adapter }),
      ...(resume === undefined ? {} : { resume }),
      ...(checkpoints
        ? {
            checkpointEvery: every,
            onCheckpoint: async (checkpoint) => {
              if (!begun) await beginRun(kept, config, device.info);
              begun = true;
              await keepCheckpoint(kept, checkpoint);
            },
          }
        : {}),
    });
    if (result.aborted && checkpoints) {
      console.error(`stopped after step ${result.steps.length}; go on with:  node dist/train.js --resume ${kept}`);
      return 130;
    }
    const { peft, reason } = await saveRun(out, config, result, runCharts(result));
    if (begun && kept !== out) await remove(kept);
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
      await saveFailedRun(
        place,
        config,
        specOf(model, data, options, adapter),
        error.contents,
        device.info,
        error.message,
      );
      console.error(`what was learned before is in ${joinPath(place, "adapter")}`);
    }
    throw error;
  } finally {
    process.off("SIGINT", interrupt);
    device.destroy();
    await model.close();
  }
});
