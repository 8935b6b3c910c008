/** The page that classifies on its own, opened from a file: without a server, a network, or shared memory. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { joinPair, type TextOrPair } from "../../core/pair.ts";
import { type Influences, leaveOut } from "../../infer/influence.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import { Words } from "../../views/influence.tsx";
import { VerdictView } from "../../views/verdict.tsx";
import type { Answer, Message } from "./worker.ts";

/** Milliseconds without input before a message is classified, and before its words are, each as one more message. */
const PAUSE = 120;
const WORDS_PAUSE = 600;

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

/** Asks when nothing has been typed for a while; the cleanup drops an answer to what is no longer there. */
function askAfter(pause: number, question: Message, take: (answer: unknown) => void): () => void {
  let isThere = true;
  const takeThere = (answer: unknown) => isThere && take(answer);
  const timer = setTimeout(() => ask(question).then(takeThere, takeThere), pause);
  return () => {
    isThere = false;
    clearTimeout(timer);
  };
}

const isTyped = (text: TextOrPair) => [text].flat().every(Boolean);

/** The influence of the words of what is typed, once it is known, and those that are left out. */
function useWords(typed: TextOrPair, isReady: boolean) {
  const [words, setWords] = useState<Influences | null>(null);
  const [out, setOut] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => {
    setWords(null);
    setOut(new Set());
    if (!isReady || !isTyped(typed)) return;
    return askAfter(WORDS_PAUSE, { words: typed }, (answer) => {
      if (!(answer instanceof Error)) setWords(answer as Influences | null);
    });
  }, [isReady, JSON.stringify(typed)]);
  const toggle = (part: number) => {
    const next = new Set(out);
    if (!next.delete(part)) next.add(part);
    setOut(next);
  };
  return { words, out, toggle };
}

const FIELDS = ["First text", "Second text"];

function Page({ examples }: { examples: readonly TextOrPair[] }) {
  const [status, setStatus] = useState("Loading the model");
  const isPair = typeof examples[0] !== "string";
  const empty = isPair ? (["", ""] as const) : "";
  const [text, setText] = useState<TextOrPair>(empty);
  const [result, setFound] = useState<Labelled | Error | null>(null);
  const typed = mapTexts(text, (part) => part.trim());
  const { words, out, toggle } = useWords(typed, status === "");
  const asked = words && out.size > 0 ? leaveOut(typed, words.parts, out) : typed;

  useEffect(() => {
    const fail = ({ message }: { message: string }) => setStatus(`This browser cannot run the model. ${message}`);
    worker.onerror = fail;
    begin(empty).then(() => setStatus(""), fail);
  }, []);

  // Classifies what is typed, also before the model was loaded.
  useEffect(() => {
    if (status !== "") return;
    const take = (answer: unknown) => setFound(answer as Labelled | Error);
    if (isTyped(asked)) return askAfter(PAUSE, { text: asked }, take);
    setFound(null);
  }, [status, JSON.stringify(asked)]);

  return (
    <>
      {[text].flat().map((value, i) => {
        const id = i === 0 ? "message" : "second";
        return (
          <div key={id}>
            <label class="field" for={id}>
              {isPair ? FIELDS[i] : "Message"}
            </label>
            <textarea
              id={id}
              dir="auto"
              rows={4}
              placeholder={`Type or paste a ${isPair ? "text" : "message"}`}
              value={value}
              onInput={({ currentTarget }) =>
                setText((typed) => mapTexts(typed, (part, at) => (at === i ? currentTarget.value : part)))
              }
            />
          </div>
        );
      })}
      <p class="help">Or click one of these:</p>
      <ul id="examples">
        {examples.map((example, i) => (
          <li key={i}>
            <button type="button" dir="auto" onClick={() => setText(example)}>
              {joinPair(example).replaceAll(/\s+/g, " ")}
            </button>
          </li>
        ))}
      </ul>
      <p id="status" role="status">
        {status}
      </p>
      <h2 class="hidden">Answer</h2>
      <div id="verdict" aria-live="polite">
        {result instanceof Error ? <p class="refused">{result.message}</p> : result && <VerdictView verdict={result} />}
      </div>
      <div id="words">{result && words && <Words text={typed} {...words} {...{ out, toggle }} />}</div>
    </>
  );
}

/** The text, or both of a pair, each as `map` gives it. */
const mapTexts = (text: TextOrPair, map: (part: string, i: number) => string): TextOrPair =>
  typeof text === "string" ? map(text, 0) : [map(text[0], 0), map(text[1], 1)];

const app = document.querySelector<HTMLElement>("#app")!;
render(<Page examples={JSON.parse(app.dataset.examples!)} />, app);
