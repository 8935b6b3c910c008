/** The page that classifies on its own, opened from a file: without a server, a network, or shared memory. */
import type { Classification } from "../../infer/classifier.ts";
import type { Answer, Message } from "./worker.ts";

/** Milliseconds without input before a message is classified. */
const PAUSE = 120;

const byId = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const message = byId<HTMLTextAreaElement>("message");
const status = byId("status");
const verdict = byId("verdict");

const code = byId("worker").textContent!;
const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
const waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];

worker.onmessage = ({ data }: MessageEvent<Answer>) => {
  const { resolve, reject } = waiting.shift()!;
  if ("error" in data) reject(new Error(data.error));
  else resolve(data.value);
};
worker.onerror = ({ message }) => fail(new Error(message));

function ask(question: Message): Promise<unknown> {
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    worker.postMessage(question);
  });
}

function fail({ message }: Error): void {
  status.textContent = `This browser cannot run the model. ${message}`;
}

/** Hands the files over, one block after the other, so that they are not in memory twice. */
async function begin(): Promise<void> {
  for (const element of document.querySelectorAll<HTMLElement>("script[data-file]")) {
    await ask({ path: element.dataset.file!, block: element.textContent! });
    element.remove();
  }
  // The first text loads the model.
  await ask({ text: "" });
  status.textContent = "";
  message.addEventListener("input", soon);
  soon();
}

let timer = 0;

function soon(): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void classify(), PAUSE);
}

async function classify(): Promise<void> {
  const text = message.value.trim();
  const shown = text === "" ? [] : await ask({ text }).then((found) => show(found as Classification), refused);
  // An answer to what is no longer there is dropped.
  if (message.value.trim() === text) verdict.replaceChildren(...shown);
}

const refused = ({ message }: Error) => [h("p", { class: "note" }, message)];

function show({ label, probability, probabilities, unlike }: Classification): HTMLElement[] {
  return [
    h("p", { class: "label" }, h("strong", {}, label), ` ${percent(probability)}`),
    ...(unlike ? [h("p", { class: "note" }, "This message is unlike the training data: the label means little.")] : []),
    h(
      "ul",
      { "aria-label": "Probability of each class" },
      ...Object.entries(probabilities).map(([name, share]) =>
        h(
          "li",
          {},
          h("span", {}, name),
          h("progress", { max: 1, value: share, "aria-hidden": "true" }),
          h("span", {}, percent(share)),
        ),
      ),
    ),
  ];
}

/** With a no-break space. */
const percent = (share: number) => `${(100 * share).toFixed(1)}\u00a0%`;

function h(tag: string, attributes: Record<string, string | number>, ...content: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...content);
  return element;
}

begin().catch(fail);
