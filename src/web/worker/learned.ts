/** The test set of a run after its end: samples, and the accuracy of the scaled model. */
import { exists } from "#platform";
import { ConfigError } from "../../errors.ts";
import { Classifier } from "../../infer/classifier.ts";
import { Turns } from "../../infer/turns.ts";
import { loadAdapter } from "../../io/open-adapter.ts";
import type { Tensors } from "../../io/peft.ts";
import { samplesOf, type TestMessage, testMessages } from "../../run/predictions.ts";
import { accuracyOf, scaleTo, startTensors } from "../../run/scaled.ts";
import type { RunRecord } from "../protocol.ts";
import { resultOf, startOf } from "./store.ts";
import type { Trained } from "./tester.ts";

/** Samples that were labelled rightly, and as many others. */
const SAMPLES = 3;

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

  async samples(id: string): Promise<TestMessage[]> {
    return samplesOf((await testMessages(resultOf(id))) ?? [], SAMPLES);
  }

  /** Rejects with the signal's reason when it aborts. */
  accuracyAt(trained: Trained, run: RunRecord, scale: number, signal: AbortSignal): Promise<number> {
    return this.turns.run(async () => {
      signal.throwIfAborted();
      const { start, messages, classifier } = await this.prepare(trained, run);
      await scaleTo(classifier, trained, start, trained.model, scale);
      return accuracyOf(classifier, messages, signal);
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

  private async prepare(trained: Trained, run: RunRecord): Promise<Open> {
    const { open } = this;
    if (open?.trained.tensors === trained.tensors && open.trained.device === trained.device) return open;
    this.drop();
    const [start, messages] = [await startOfRun(trained, run), await testMessages(resultOf(trained.id))];
    if (!start || !messages)
      throw new ConfigError("The test set of this run, or the adapter that it started from, is not stored", {
        hint: "train again",
      });
    const classifier = await Classifier.of(trained, trained.model, trained.device);
    this.open = { trained, start, messages, classifier };
    return this.open;
  }
}

/** The tensors before the first step; null if they are not known: of older runs that started from an adapter. */
async function startOfRun({ id, meta, model }: Trained, { settings }: RunRecord): Promise<Tensors | null> {
  if (!settings.adapter) return startTensors(meta, settings.options, model);
  return (await exists(startOf(id))) ? (await loadAdapter(startOf(id), model)).tensors : null;
}
