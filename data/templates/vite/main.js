/** What is typed is classified in a worker of the page's own. */
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const [text, answer] = [document.querySelector("#text"), document.querySelector("#answer")];
text.oninput = () => worker.postMessage(text.value);
worker.onmessage = ({ data: { label, probability } }) => {
  // An empty text has no label.
  answer.value = label === null ? "" : `${label} ${probability}`;
};
