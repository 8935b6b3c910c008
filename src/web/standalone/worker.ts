/** The worker of a page that classifies on its own: takes the files that are in the page, and classifies. It answers in order. */
import { packagePath } from "#platform";
import { openWasm } from "../../backend/wasm.ts";
import { Classifier } from "../../infer/classifier.ts";
import { openGPT2 } from "../../io/hf.ts";
import { loadAdapter } from "../../io/open-adapter.ts";
import { forgetFile, registerFile } from "../../platform/files.ts";

/** Adds a block of base64 to a file, or classifies a text. */
export type Message = { path: string; block: string } | { text: string };
export type Answer = { value: unknown } | { error: string };

/** The blocks of every file. */
const files = new Map<string, Blob[]>();
let classifier: Promise<Classifier> | undefined;
let work = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Message>) => {
  work = work.then(async () => self.postMessage(await answerTo(data)));
};

async function answerTo(message: Message): Promise<Answer> {
  try {
    if ("text" in message) {
      classifier ??= open();
      const [value] = await (await classifier).classify([message.text]);
      return { value };
    }
    const { path, block } = message;
    files.set(path, [...(files.get(path) ?? []), new Blob([decoded(block)])]);
    return { value: null };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function decoded(block: string): Uint8Array<ArrayBuffer> {
  const text = atob(block);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Loads the model from the files, which are then forgotten. A page of one file can share no memory: there is one thread. */
async function open(): Promise<Classifier> {
  const paths: string[] = [];
  for (const [name, blocks] of files) {
    const path = name.startsWith("dist/") ? packagePath(name) : name;
    registerFile(path, new Blob(blocks));
    paths.push(path);
  }
  files.clear();
  const checkpoint = await openGPT2("model");
  const opened = await Classifier.of(await loadAdapter("adapter", checkpoint), checkpoint, await openWasm());
  for (const path of paths) forgetFile(path);
  return opened;
}
