import { load } from "./lowrank/dist/browser/index.js";

const [text, answer] = [document.querySelector("#text"), document.querySelector("#answer")];
const model = await load("/run");
text.oninput = async () => {
  const { label, probability } = await model.classify(text.value);
  // An empty text has no label.
  answer.value = label === null ? "" : `${label} ${probability}`;
};
