import { Classifier, openDevice } from "./lowrank/dist/browser/index.js";

const [text, answer] = [document.querySelector("#text"), document.querySelector("#answer")];
const device = await openDevice();
const classifier = await Classifier.load(new URL("run/adapter", location.href).href, { device });
text.oninput = async () => {
  const [{ label, probability }] = await classifier.classify([text.value]);
  answer.value = `${label} ${probability}`;
};
