/** Classifies typed messages with the trained parameters of a run, and with the base model for comparison. */
import type { Backend } from "../../backend/backend.ts";
import type { Initialization } from "../../engine/initial.ts";
import { Classifier } from "../../infer/classifier.ts";
import { type Influences, measureInfluences } from "../../infer/influence.ts";
import { Turns } from "../../infer/turns.ts";
import type { BaseModel } from "../../io/hf.ts";
import type { AdapterMeta, Tensors } from "../../io/peft/peft.ts";
import type { TextOrPair } from "../../pair.ts";
import { TASKS } from "../../tasks/index.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import type { Verdict } from "../protocol.ts";

export interface Trained {
  id: string;
  meta: AdapterMeta;
  tensors: Tensors;
  /** What it began with. */
  start: Initialization;
  model: BaseModel;
  device: Backend;
}

export class Tester {
  private readonly turns = new Turns();
  /** `hidden` is opened when it is asked for. */
  private open:
    | { trained: Trained; adapter: Classifier; base: Classifier | null; hidden?: Promise<Classifier> }
    | undefined;

  async classify(trained: Trained, text: TextOrPair): Promise<Omit<Verdict, "classic">> {
    const { adapter, base } = await this.prepare(trained);
    const { method } = TASKS[trained.meta.task.objective].predicts!;
    const read = async (one: Classifier) => (await one[method]([text]))[0]!;
    return { adapter: await read(adapter), base: base && (await read(base)), device: adapter.device };
  }

  /** What the trained parameters alone make of some texts. */
  async answers(trained: Trained, texts: readonly TextOrPair[]): Promise<Labelled[]> {
    const { adapter } = await this.prepare(trained);
    return adapter[TASKS[trained.meta.task.objective].predicts!.method]([...texts]);
  }

  async influences(trained: Trained, text: TextOrPair): Promise<Influences> {
    const { adapter } = await this.prepare(trained);
    return measureInfluences(adapter, text);
  }

  /** What the head reads of texts: the last hidden state of each. */
  async states(trained: Trained, texts: readonly TextOrPair[]): Promise<Float32Array[]> {
    const open = await this.prepare(trained);
    open.hidden ??= import("../../infer/hidden.ts")
      .then(({ openHidden }) => openHidden(trained, trained.model, trained.device))
      .catch((error) => {
        delete open.hidden;
        throw error;
      });
    const states = await (await open.hidden).logits(texts);
    const width = states.length / texts.length;
    return texts.map((_, i) => states.subarray(i * width, (i + 1) * width));
  }

  close(): void {
    this.closeHidden();
    this.open?.adapter.destroy();
    this.open?.base?.destroy();
    this.open = undefined;
  }

  private closeHidden(): void {
    // One that cannot be opened tells why where it is asked for.
    this.open?.hidden?.then(
      (hidden) => hidden.destroy(),
      () => {},
    );
    delete this.open?.hidden;
  }

  /** Calls at the same time have the same classifiers. */
  private prepare(trained: Trained) {
    return this.turns.run(() => this.openFor(trained));
  }

  /** Reuses the classifiers for the same run on the same device; writes the tensors again if they have changed. */
  private async openFor(trained: Trained) {
    const { open } = this;
    if (open?.trained.id === trained.id && open.trained.device === trained.device) {
      if (open.trained.tensors !== trained.tensors) {
        open.adapter.update(trained.tensors);
        this.closeHidden();
      }
      open.trained = trained;
      return open;
    }
    this.close();
    const { meta, tensors, start, model, device } = trained;
    const adapter = await Classifier.of({ meta, tensors }, model, device);
    try {
      const base = start.headInit === "zeros" ? null : await Classifier.untrained(meta, start, model, device);
      this.open = { trained, adapter, base };
    } catch (error) {
      adapter.destroy();
      throw error;
    }
    return this.open;
  }
}
