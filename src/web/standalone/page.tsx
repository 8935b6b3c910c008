/** The page that classifies on its own, opened from a file: without a server, a network, or shared memory. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { joinPair, type TextOrPair } from "../../pair.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import { VerdictView } from "../../views/verdict.tsx";
import type { Answer, Message } from "./worker.ts";

/** Milliseconds without input before a message is classified. */
const PAUSE = 120;

const code = document.querySelector("#worker")!.textContent!;
const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
const waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];

worker.onmessage = ({ data }: MessageEvent<Answer>) => {
  const { resolve, reject } = waiting.shift()!;
  if ("error" in data) reject(new Error(data.error));
  else resolve(data.value);
};

function ask(question: Message): Promise<unknown> {
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    worker.postMessage(question);
  });
}

/** Hands the files over, one block after the other, so that they are not in memory twice. */
async function begin(empty: TextOrPair): Promise<void> {
  for (const element of document.querySelectorAll<HTMLElement>("script[data-file]")) {
    await ask({ path: element.dataset.file!, block: element.textContent! });
    element.remove();
  }
  // The first text loads the model.
  await ask({ text: empty });
}

/** Fields of a pair of texts. */
const FIELDS = ["First text", "Second text"];

function Page({ examples }: { examples: readonly TextOrPair[] }) {
  const [status, setStatus] = useState("Loading the model");
  const isPair = typeof examples[0] !== "string";
  const empty = isPair ? (["", ""] as const) : "";
  const [text, setText] = useState<TextOrPair>(empty);
  const [found, setFound] = useState<Labelled | Error | null>(null);
  const asked = mapTexts(text, (one) => one.trim());

  useEffect(() => {
    const fail = ({ message }: { message: string }) => setStatus(`This browser cannot run the model. ${message}`);
    worker.onerror = fail;
    begin(empty).then(() => setStatus(""), fail);
  }, []);

  // Classifies what is typed, also before the model was loaded. An answer to what is no longer there is dropped.
  useEffect(() => {
    if (status !== "") return;
    let isThere = true;
    const take = (answer: unknown) => isThere && setFound(answer as Labelled | Error);
    const isTyped = [asked].flat().every(Boolean);
    if (!isTyped) take(null);
    const timer = setTimeout(() => isTyped && ask({ text: asked }).then(take, take), PAUSE);
    return () => {
      isThere = false;
      clearTimeout(timer);
    };
  }, [status, JSON.stringify(asked)]);

  return (
    <>
      {[text].flat().map((value, i) => {
        const id = i === 0 ? "message" : "second";
        return (
          <div key={id}>
            <label for={id}>{isPair ? FIELDS[i] : "Message"}</label>
            <textarea
              id={id}
              dir="auto"
              rows={4}
              placeholder={`Type or paste a ${isPair ? "text" : "message"}`}
              value={value}
              onInput={({ currentTarget }) =>
                setText((typed) => mapTexts(typed, (one, at) => (at === i ? currentTarget.value : one)))
              }
            />
          </div>
        );
      })}
      <p id="status" role="status">
        {status}
      </p>
      <div id="verdict" aria-live="polite">
        {found instanceof Error ? <p class="refused">{found.message}</p> : found && <VerdictView verdict={found} />}
      </div>
      <p class="help">Or try one of these:</p>
      <ul id="examples">
        {examples.map((example, i) => (
          <li key={i}>
            <button type="button" dir="auto" onClick={() => setText(example)}>
              {joinPair(example).replaceAll(/\s+/g, " ")}
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

/** The text, or both of a pair, each as `map` gives it. */
const mapTexts = (text: TextOrPair, map: (one: string, i: number) => string): TextOrPair =>
  typeof text === "string" ? map(text, 0) : [map(text[0], 0), map(text[1], 1)];

const app = document.querySelector<HTMLElement>("#app")!;
render(<Page examples={JSON.parse(app.dataset.examples!)} />, app);
