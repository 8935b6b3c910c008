/** Either will do: the window, whose GPU is Chromium's, or the main process, which several windows share. */
import { Classifier, openDevice } from "lowrank";

const opened = openDevice().then((device) => Classifier.load(new URL("run/adapter", location.href).href, { device }));
document.querySelector("#text").oninput = async ({ target }) => {
  const answers = {
    answer: (await (await opened).classify([target.value]))[0],
    main: await main.classify(target.value),
  };
  for (const [id, { label, probability }] of Object.entries(answers))
    document.querySelector(`#${id}`).value = `${label} ${probability}`;
};
