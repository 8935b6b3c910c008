/** The accuracy of a run's scaled model on its test set. */
import { ConfigError } from "../../errors.ts";
import { Classifier } from "../../infer/classifier.ts";
import { Turns } from "../../infer/turns.ts";
import type { Tensors } from "../../io/peft.ts";
import { testMessages } from "../../run/predictions.ts";
import { measureAccuracy, scaleTo, startTensors } from "../../run/scaled.ts";
import type { TestMessage } from "../../train/results.ts";
import type { PageRun } from "../protocol.ts";
import { openStart } from "./run-files.ts";
import { runFolder } from "./store.ts";
import type { Trained } from "./tester.ts";

/** What the scaled model of a run needs. */
interface Open {
  trained: Trained;
  start: Tensors;
  messages: readonly TestMessage[];
  classifier: Classifier;
}

export class Learned {
  private readonly turns = new Turns();
  private open: Open | undefined;

  /** Rejects with the signal's reason when it aborts. */
  accuracyAt(trained: Trained, run: PageRun, scale: number, signal: AbortSignal): Promise<number> {
    return this.turns.run(async () => {
      signal.throwIfAborted();
      const { start, messages, classifier } = await this.prepare(trained, run);
      await scaleTo(classifier, trained, start, trained.model, scale);
      return measureAccuracy(classifier, messages, signal);
    });
  }

  /** Frees the scaled model after the call that uses it. */
  close(): Promise<void> {
    return this.turns.run(async () => this.drop());
  }

  private drop(): void {
    this.open?.classifier.destroy();
    this.open = undefined;
  }

  private async prepare(trained: Trained, run: PageRun): Promise<Open> {
    const { open } = this;
    if (open?.trained.tensors === trained.tensors && open.trained.device === trained.device) return open;
    this.drop();
    const { model, device, meta } = trained;
    const start = (await openStart(run, model))?.tensors ?? (await startTensors(meta, run.record.options, model));
    const messages = await testMessages(runFolder(run.id));
    if (!messages)
      throw new ConfigError("not-stored", "The test set of this run is not stored", { hint: "train again" });
    const classifier = await Classifier.of(trained, model, device);
    this.open = { trained, start, messages, classifier };
    return this.open;
  }
}
