/** Either will do: the window, whose GPU is Chromium's, or the main process, which several windows share. */
import { load } from "lowrank";
import "lowrank/bases/e5-small-cut"; // the base model of the run

const model = load("/run");
document.querySelector("#text").oninput = async ({ target }) => {
  const answers = { answer: await (await model).classify(target.value), main: await main.classify(target.value) };
  for (const [id, { label, probability }] of Object.entries(answers))
    document.querySelector(`#${id}`).value = label === null ? "" : `${label} ${probability}`; // An empty text has none.
};
