/** The worker of a standalone page: takes the files that are in the page, and classifies. It answers in order. */
import { packagePath } from "#platform";
import { openOnCaller } from "../../backend/wasm.ts";
import type { TextOrPair } from "../../core/pair.ts";
import { Classifier } from "../../infer/classifier.ts";
import { measureInfluences } from "../../infer/influence.ts";
import { openBaseModel } from "../../io/hf.ts";
import { loadAdapter } from "../../io/peft/open-adapter.ts";
import { type FileSource, forgetFile, registerFile } from "../../platform/files.ts";
import { TASKS } from "../../tasks/index.ts";

/** Adds a block of base64 to a file, classifies a text or a pair, or measures the influence of its words. */
export type Message = { path: string; block: string } | { text: TextOrPair } | { words: TextOrPair };
export type Answer = { value: unknown } | { error: string };

/** The blocks of every file: all of one length, but the last. */
const files = new Map<string, Uint8Array[]>();
let classifier: Promise<Classifier> | undefined;
let work = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Message>) => {
  work = work.then(async () => self.postMessage(await answerTo(data)));
};

async function answerTo(message: Message): Promise<Answer> {
  try {
    if ("path" in message) {
      const { path, block } = message;
      files.set(path, [...(files.get(path) ?? []), decoded(block)]);
      return { value: null };
    }
    classifier ??= open();
    const model = await classifier;
    const { task } = model.meta;
    if ("text" in message) {
      const [value] = await model[TASKS[task.objective].predicts!.method]([message.text]);
      return { value };
    }
    return { value: await measureInfluences(model, message.words) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** A file that is read from memory: WebKit reads no blobs in the worker of a page from the disk. */
function inMemory(blocks: readonly Uint8Array[]): FileSource {
  const [{ length: step }] = blocks as [Uint8Array];
  const size = blocks.reduce((sum, { length }) => sum + length, 0);
  return {
    stat: async () => ({ size, isFile: () => true, isDirectory: () => false }),
    async read(buffer, offset, length, position) {
      const from = position % step;
      const batch = blocks[Math.floor(position / step)]!.subarray(from, from + length);
      buffer.set(batch, offset);
      return { bytesRead: batch.length };
    },
  };
}

function decoded(block: string): Uint8Array {
  const text = atob(block);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Loads the model from the files and drops them. A page of one file cannot share memory: there is one thread. */
async function open(): Promise<Classifier> {
  const paths: string[] = [];
  for (const [name, blocks] of files) {
    const path = name.startsWith("dist/") ? packagePath(name) : name;
    registerFile(path, inMemory(blocks));
    paths.push(path);
  }
  files.clear();
  const baseModel = await openBaseModel(paths.find((path) => path === "model.gguf") ?? "model");
  const opened = await Classifier.of(await loadAdapter("adapter", baseModel), baseModel, await openOnCaller());
  for (const path of paths) forgetFile(path);
  return opened;
}
