/** Vectors of texts, by which texts of like meaning are found. */
import type { Device, DeviceInfo } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { type Lease, leaseDevice } from "../backend/lease.ts";
import { checkArguments, checkOptions } from "../core/checks.ts";
import { asyncDispose } from "../core/dispose.ts";
import { isBlank } from "../core/pair.ts";
import type { WeightDtype } from "../core/tensor.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { type BaseModel, DEFAULT_BASE, loadModel } from "../io/hf.ts";
import { closing } from "./adapter-model.ts";
import type { ClassifyOptions } from "./calls.ts";
import { Classifier, type ClassifierOptions, checkFinite, OPTIONS } from "./classifier.ts";
import { NO_ADAPTERS } from "./no-adapter.ts";

/** Where an embedder is, and its base model. */
export interface EmbedderOptions extends Omit<ClassifierOptions, "device"> {
  /** A device, or the name of one, which models share. Default: a graphics card if there is one, else the CPU. */
  device?: Device | DeviceName;
}

/** A text that is like another one. */
export interface Similar {
  text: string;
  /** Its index among the texts. */
  index: number;
  /** The cosine similarity of the two: 1 of equal texts. */
  similarity: number;
}

/**
 * A base model that makes vectors of texts: the mean of a text's outputs, or what a folder of sentence-transformers
 * says, divided by its length, so that the cosine similarity of two texts is the dot product of their vectors. Encoders
 * that were trained for it (the bundled e5-small-cut, all-MiniLM-L6-v2) put texts of like meaning near each other; a
 * model that writes, such as GPT-2, gives vectors, too, which say little of the meaning. Calls run in their order,
 * those that wait for the same turn together, with the bits of each alone; `destroy` frees its memory.
 *
 * @example
 * ```ts
 * import { Embedder } from "lowrank";
 *
 * const embedder = await Embedder.load();
 * const [vector] = await embedder.embed("query: where is my parcel"); // what e5 was trained with
 * console.log(vector!.length);
 * const texts = ["query: Ihr Paket ist unterwegs", "query: we close at six"];
 * const [nearest] = await embedder.similar(texts, "query: where is my parcel");
 * console.log(nearest!.text, nearest!.similarity);
 * embedder.destroy();
 * ```
 */
export class Embedder {
  private constructor(
    private readonly classifier: Classifier,
    private readonly lease: Lease,
    /** Numbers of a vector. */
    readonly size: number,
  ) {}

  /**
   * Loads a base model, by default the bundled one. Throws ConfigError if there is none of this name, FormatError if a
   * file is damaged.
   */
  static async load(options: EmbedderOptions = {}): Promise<Embedder> {
    checkOptions("options", options, { ...OPTIONS, device: "any?" });
    const { device, model = DEFAULT_BASE, dtype, ...downloads } = options;
    const lease = await leaseDevice(device);
    const open = async (base: BaseModel) =>
      new Embedder(await withoutHead(base, lease.device, dtype), lease, base.config.n_embd);
    try {
      return await (typeof model === "object" ? open(model) : closing(await loadModel(model, downloads), open));
    } catch (error) {
      lease.giveBack();
      throw error;
    }
  }

  /** The base model's. */
  get tokenizer(): Tokenizer {
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

  /** The `most` texts that are most like another one, the nearest first. */
  async similar(texts: readonly string[], to: string, most = 10): Promise<Similar[]> {
    checkArguments({ texts, to, most }, { texts: "texts", to: "text", most: "count" });
    const [asked, ...vectors] = await this.embed([to, ...texts]);
    const found = vectors.map((vector, index): Similar => {
      const similarity = vector.reduce((sum, value, i) => sum + value * asked![i]!, 0);
      return { text: texts[index]!, index, similarity };
    });
    return found.sort((a, b) => b.similarity - a.similarity).slice(0, most);
  }

  /** Frees the model's memory on the device. */
  destroy(): void {
    this.classifier.destroy();
    this.lease.giveBack();
  }

  /** Frees it at the end of a block that begins with `await using`. */
  async [asyncDispose](): Promise<void> {
    this.destroy();
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
