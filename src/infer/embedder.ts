/** Vectors of texts, by which texts of like meaning are found. */
import type { Device, DeviceInfo } from "../backend/backend.ts";
import { checkArguments, checkOptions } from "../core/checks.ts";
import { isBlank } from "../core/pair.ts";
import type { WeightDtype } from "../core/tensor.ts";
import { type BaseModel, DEFAULT_BASE, loadModel } from "../io/hf.ts";
import { closing } from "./adapter-model.ts";
import type { ClassifyOptions } from "./calls.ts";
import { Classifier, type ClassifierOptions, checkFinite, OPTIONS } from "./classifier.ts";
import { NO_ADAPTERS } from "./several-adapters.ts";

/**
 * A base model that makes vectors of texts: the mean of a text's outputs, or what a folder of sentence-transformers
 * says, divided by its length, so that the cosine similarity of two texts is the dot product of their vectors. Encoders
 * that were trained for it (the bundled e5-small-cut, all-MiniLM-L6-v2) put texts of like meaning near each other; a
 * model that writes, such as GPT-2, gives vectors, too, which say little of the meaning. Calls run in their order,
 * those that wait for the same turn together, with the bits of each alone; `destroy` frees its memory.
 *
 * @example
 * ```ts
 * import { Embedder, openDevice } from "lowrank";
 *
 * const embedder = await Embedder.load({ device: await openDevice() });
 * const [asked, ...answers] = await embedder.embed([
 *   "query: where is my parcel", // what e5 was trained with
 *   "query: Ihr Paket ist unterwegs",
 *   "query: we close at six",
 * ]);
 * const cosine = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
 * console.log(answers.map((answer) => cosine(asked!, answer)));
 * embedder.destroy();
 * ```
 */
export class Embedder {
  private constructor(
    private readonly classifier: Classifier,
    /** Numbers of a vector. */
    readonly size: number,
  ) {}

  /**
   * Loads a base model, by default the bundled one. Throws ConfigError if there is none of this name, FormatError if a
   * file is damaged.
   */
  static async load(options: ClassifierOptions): Promise<Embedder> {
    checkOptions("options", options, OPTIONS);
    const { device, model = DEFAULT_BASE, dtype, ...downloads } = options;
    const open = async (base: BaseModel) => new Embedder(await withoutHead(base, device, dtype), base.config.n_embd);
    return typeof model === "object" ? open(model) : closing(await loadModel(model, downloads), open);
  }

  /** The base model's. */
  get tokenizer(): Classifier["tokenizer"] {
    return this.classifier.tokenizer;
  }

  /** The device that computes: see `Classifier.device`. */
  get device(): DeviceInfo {
    return this.classifier.device;
  }

  /**
   * The vectors of a text, or of several, in order, each of length 1. Texts longer than the context are cut; of a blank
   * one all numbers are 0, so that it is like no other. What a model wants before a text ("query: ") is a part of the
   * text, unless its folder has a default prompt. Throws ConfigError for what is no text, DataError if the model gives
   * no finite numbers, and the signal's reason.
   */
  async embed(texts: string | readonly string[], options: ClassifyOptions = {}): Promise<Float32Array<ArrayBuffer>[]> {
    checkArguments({ texts }, { texts: "text or texts" });
    const { size } = this;
    const list: readonly string[] = [texts].flat();
    const outputs = checkFinite(await this.classifier.logits(list, options), "vectors");
    return list.map((text, i) => {
      const output = isBlank(text) ? new Float32Array(size) : outputs.slice(i * size, (i + 1) * size);
      const length = Math.hypot(...output) || 1;
      return output.map((value) => value / length);
    });
  }

  /** Frees the model's memory on the device. */
  destroy(): void {
    this.classifier.destroy();
  }
}

/** A classifier whose head changes nothing: its logits are what stands for a text. */
function withoutHead(baseModel: BaseModel, device: Device, dtype?: WeightDtype): Promise<Classifier> {
  const { config, directory, pooling = "mean" } = baseModel;
  const size = config.n_embd;
  const task = { objective: "classification", num_labels: size, pooling, head_bias: false } as const;
  const labels = Array.from({ length: size }, (_, i) => `${i}`);
  const meta = { ...NO_ADAPTERS, base_model: directory, model: config, task, labels, settings: {} };
  const data = new Float32Array(size * size);
  for (let i = 0; i < data.length; i += size + 1) data[i] = 1;
  const tensors = new Map([["head.weight", { shape: [size, size], data }]]);
  return Classifier.of({ meta, tensors }, baseModel, device, dtype);
}
