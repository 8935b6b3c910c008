/** A page that uses the package as a bundler finds it: it classifies with a trained run, and trains for one step. */
import { registerFile } from "lowrank";
import "lowrank/bases/gpt2-micro";
import { loadDataset } from "lowrank/data";
import { Classifier, fineTune, loadModel, openDevice } from "lowrank/engine";

let device;

function show(...lines) {
  document.querySelector("#output").textContent += `\n${lines.join("\n")}`;
}

globalThis.classify = async (name, texts) => {
  device = await openDevice(name, { threads: 2 });
  const classifier = await Classifier.load(new URL("run/adapter", location.href).href, { device });
  const results = await classifier.classify(texts);
  show(classifier.device.name, ...results.map(({ label, probability }, i) => `${label} ${probability} ${texts[i]}`));
  return { device: classifier.device, probabilities: results.map(({ probabilities }) => Object.values(probabilities)) };
};

globalThis.train = async (csv) => {
  registerFile("messages.csv", new Blob([csv]));
  const model = await loadModel("gpt2-micro");
  const data = await loadDataset({ file: "messages.csv" }, { maxLength: 32 });
  const steps = [];
  const onEvent = (event) => event.type === "step" && steps.push(event.record.loss);
  const run = await fineTune({ device, model, data, batchSize: 8, epochs: 1, onEvent });
  show(`trained on ${run.device.name}: loss ${steps.join(", ")}`);
  return { device: run.device, steps };
};
