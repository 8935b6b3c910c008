/** The page that classifies on its own, opened from a file: without a server, a network, or shared memory. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Classification } from "../../infer/classifier.ts";
import { Unlike, VerdictView } from "../../views/verdict.tsx";
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
async function begin(): Promise<void> {
  for (const element of document.querySelectorAll<HTMLElement>("script[data-file]")) {
    await ask({ path: element.dataset.file!, block: element.textContent! });
    element.remove();
  }
  // The first text loads the model.
  await ask({ text: "" });
}

function Page({ example }: { example: string }) {
  const [status, setStatus] = useState("Loading the model");
  const [text, setText] = useState("");
  const [found, setFound] = useState<Classification | Error | null>(null);

  useEffect(() => {
    const fail = ({ message }: { message: string }) => setStatus(`This browser cannot run the model. ${message}`);
    worker.onerror = fail;
    begin().then(() => setStatus(""), fail);
  }, []);

  // Classifies what is typed, also before the model was loaded. An answer to what is no longer there is dropped.
  useEffect(() => {
    if (status !== "") return;
    let isThere = true;
    const take = (answer: unknown) => isThere && setFound(answer as Classification | Error);
    if (text === "") take(null);
    const timer = setTimeout(() => text && ask({ text }).then(take, take), PAUSE);
    return () => {
      isThere = false;
      clearTimeout(timer);
    };
  }, [status, text]);

  return (
    <>
      <label for="message">Message</label>
      <textarea
        id="message"
        rows={4}
        placeholder={`Type or paste a message, such as: ${example}`}
        onInput={({ currentTarget }) => setText(currentTarget.value.trim())}
      />
      <p id="status" role="status">
        {status}
      </p>
      <div id="verdict" aria-live="polite">
        {found instanceof Error ? (
          <p class="unlike">{found.message}</p>
        ) : (
          found && (
            <VerdictView verdict={found}>
              <Unlike verdict={found} />
            </VerdictView>
          )
        )}
      </div>
    </>
  );
}

const app = document.querySelector<HTMLElement>("#app")!;
render(<Page example={app.dataset.example!} />, app);
