/** train: fine-tunes GPT-2 as a text classifier or as a language model and leaves a run directory. */
import { exists, joinPath, withLock } from "#platform";
import { openDevice } from "../backend/device.ts";
import { OBJECTIVES } from "../config.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError, LowrankError } from "../errors.ts";
import { checkNumber } from "../number-range.ts";
import type { Check } from "../platform/replacing.ts";
import { createProgress, type Progress } from "../report/progress.ts";
import { runCharts } from "../run/charts.ts";
import { keepCheckpoint } from "../run/checkpoint.ts";
import { beginRun, saveFailedRun, saveRun } from "../run/directory.ts";
import { freePath, hasResult, refuseExisting, removeRun, saveSomewhere } from "../run/files.ts";
import { PRESETS } from "../run/settings.ts";
import { describeData, describePlan, describeResult } from "../run/summary.ts";
import { resultFile, resultOf } from "../sweep/store.ts";
import { specOf } from "../train/prepare.ts";
import { type Checkpoint, RunFailed, type StepRecord, type TrainEvent, type TrainResult } from "../train/records.ts";
import { train } from "../train/trainer.ts";
import { choice, command, deviceFlag, Interruption, main, number, print, printNote, threadsFlag } from "./cli.ts";
import { addSettings } from "./flags.ts";
import { type Job, newJob, resumedJob, type TrainFlags } from "./job.ts";

const program = command(
  "train",
  "Fine-tunes GPT-2 as a text classifier: with LoRA, in full, or its last block or layer.\n" +
    "Without flags: the bundled gpt2-micro on the bundled mail corpus, spam against ham, in about a minute.\n" +
    "With --objective lm it goes on as a language model, on plain text files (each one document, cut 80/10/10 at line " +
    'ends) or JSON lines (.jsonl: {"text"} or {"prompt", "completion"} a line, shuffled and split), in blocks of --max-length.',
  "  train\n" +
    "  train --data messages.csv --rank 16 --alpha 32 --out runs/r16\n" +
    "  train --train train.csv --val val.csv --test test.csv --mode last_block --epochs 10\n" +
    "  train --preset paper --rank 16 --alpha 16\n" +
    "  train --adapter path/to/peft-adapter --model path/to/gpt2 --data messages.csv\n" +
    "  train --objective lm --data book.txt --max-length 128\n" +
    "  train --objective lm --data questions.jsonl --model gpt2",
);
addSettings(program)
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .addOption(choice("--objective <o>", "what is learned (default: classification)", OBJECTIVES))
  .option("--stride <n>", "lm: tokens between the beginnings of two blocks (default: --max-length)", number)
  .option("--adapter <dir>", "go on from an adapter: of a run, or a PEFT LoRA adapter (SEQ_CLS, or CAUSAL_LM with lm)")
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
    private readonly data: TrainingData,
  ) {}

  begin(model: string): void {
    const { source, labels, stats } = this.data;
    console.log(
      this.json
        ? JSON.stringify({ type: "data", model, source, labels, stats })
        : describeData(this.data, model, screenWidth()),
    );
  }

  event(event: TrainEvent): void {
    if (this.json) {
      if (event.type !== "end") console.log(JSON.stringify(jsonEvent(event)));
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
        const loss = this.mean("loss");
        const accuracy = this.data.objective === "classification" ? this.mean("accuracy") : null;
        const epoch = Math.ceil(record.epoch);
        this.progress?.update({ step: record.step, epoch, loss, accuracy, examplesPerSecond, secondsLeft });
        break;
      }
      case "evaluation":
        break;
      case "end":
        this.stop();
    }
  }

  /** What came of the run. */
  result(result: TrainResult): void {
    console.log(
      this.json ? JSON.stringify(jsonEvent({ type: "end", result })) : describeResult(result, this.data, screenWidth()),
    );
  }

  saved(
    directory: string,
    { aborted, options }: TrainResult,
    { peft, reason }: { peft: boolean; reason?: string },
  ): void {
    if (this.json) {
      console.log(JSON.stringify({ type: "saved", directory, peft, reason }));
      return;
    }
    print(`saved in ${directory}${aborted ? ", stopped early" : ""}`);
    if (options.mode === "lora")
      print(peft ? "PEFT can load its adapter/" : `PEFT cannot load its adapter/: ${reason}`);
    const use = { classification: ["classify", "You have won a prize, call now"], lm: ["generate", "The"] } as const;
    const [tool, text] = use[this.data.objective];
    print(`try it:  node dist/${tool}.js --run ${directory} "${text}"`);
  }

  stop(): void {
    this.progress?.stop();
    this.progress = undefined;
  }

  private mean(key: "loss" | "accuracy"): number {
    return this.recent.reduce((sum, record) => sum + record[key], 0) / this.recent.length;
  }
}

/** Columns of the terminal; undefined where the output goes elsewhere. */
function screenWidth(): number | undefined {
  return process.stdout.columns;
}

/** An event without what is large: tensors, the plan, single predictions. */
function jsonEvent(event: TrainEvent): object {
  if (event.type === "plan") return { type: "plan", device: event.device, trainable: event.trainable };
  if (event.type !== "end") return event;
  const { options, stats, before, after, seconds, aborted } = event.result;
  return { type: "end", options, stats, before, after, seconds, aborted };
}

/** Trains, and saves what was learned, elsewhere where `check` says that the directory is lost. Returns the exit code. */
async function run(job: Job, flags: TrainFlags, check: Check): Promise<number> {
  const { out, kept, replaces, model, data, options, config, adapter, resume } = job;
  // A run that was killed goes on; where its interval is not given again it keeps none in between.
  const checkpoints = flags.checkpointEvery !== undefined || resume !== undefined;
  let begun = resume !== undefined;
  const device = await openDevice(flags.device, { threads: flags.threads });
  const printer = new Printer(flags.json ?? false, data);
  printer.begin(job.modelName);
  const interruption = new Interruption("stopping to save what was learned; again to stop at once and save nothing");
  const { signal } = interruption;
  const keep = async (checkpoint: Checkpoint) => {
    try {
      if (!begun) await beginRun(kept, kept === out ? config : { ...config, replaces: true }, device.info, check);
      begun = true;
      await keepCheckpoint(kept, checkpoint, check);
    } catch (error) {
      // A disk that is full for now is no reason to lose the run.
      if (!(error instanceof LowrankError)) throw error;
      console.error(`no checkpoint at step ${checkpoint.step}: ${error.message}`);
      return;
    }
    if (!signal.aborted) return;
    printer.stop();
    // The run goes on from here: nothing that is measured now would be kept.
    printNote(`stopped after step ${checkpoint.step}; go on with:  node dist/train.js --resume ${kept}`);
    signal.throwIfAborted();
  };
  try {
    const result: TrainResult | null = await train({
      device,
      model,
      data,
      ...options,
      signal,
      onEvent: (event) => {
        if (event.type === "step") interruption.begin();
        printer.event(event);
      },
      ...(adapter === undefined ? {} : { adapter }),
      ...(resume === undefined ? {} : { resume }),
      ...(checkpoints ? { checkpointEvery: flags.checkpointEvery ?? 0, onCheckpoint: keep } : {}),
    }).catch((error) => {
      if (error !== signal.reason) throw error;
      return null;
    });
    if (!result) return 130;
    const replace = replaces || begun;
    const trial = config.trial && resultOf(config.trial, result);
    const files = [...runCharts(result), ...(trial ? [resultFile(trial)] : [])];
    // What was learned is saved before anything is printed.
    const { saved, place, failure } = await saveSomewhere(out, (directory) =>
      saveRun(directory, config, result, files, { replace, check: directory === out ? check : undefined }),
    ).finally(() => {
      interruption.end();
      printer.result(result);
    });
    printer.saved(place, result, saved);
    if (kept !== out && !failure && (begun || !(await hasResult(kept)))) await removeRun(kept);
    if (failure) throw failure;
    return signal.aborted ? 130 : 0;
  } catch (error) {
    printer.stop();
    if (error instanceof RunFailed) {
      // A run that is there already is only replaced by one that is done.
      const free = (await exists(out)) ? await freePath(`${out}.failed`) : out;
      const spec = specOf(model, data, options, adapter);
      const { place } = await saveSomewhere(free, (directory) =>
        saveFailedRun(directory, config, spec, error.contents, device.info, error.message, {
          check: directory === out ? check : undefined,
        }),
      );
      printNote(`what was learned before is in ${joinPath(place, "adapter")}`);
    }
    throw error;
  } finally {
    interruption.end();
    device.destroy();
  }
}

await main(async () => {
  program.parse();
  const flags = program.opts<TrainFlags>();
  const { checkpointEvery = 0 } = flags;
  checkNumber("--checkpoint-every", checkpointEvery, { min: 0, whole: true });
  const job = flags.resume === undefined ? await newJob(flags) : await resumedJob(flags.resume, program);
  const work = async (check: Check) => {
    // Another run may have been here since.
    if (!job.replaces) await refuseExisting(job.out, false);
    return run(job, flags, check);
  };
  const refuse = () => {
    throw new ConfigError("another run is at work in this directory", {
      where: job.out,
      hint: "wait for it, or give another --out",
    });
  };
  return withLock(job.out, work, refuse).finally(() => job.model.close());
}, "files");
