/** Begins the page: what the visitor had chosen, the stored runs, the model, and the copy for offline use. */
import { effect, useSignal } from "@preact/signals";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { capital } from "../../core/format.ts";
import { App } from "./app.tsx";
import { beginRuns, shown, storage } from "./runs/runs.ts";
import { failureReport } from "./shared/client.ts";
import { ErrorBox } from "./shared/error.tsx";
import { keepForOffline } from "./shared/offline.ts";
import { nameState } from "./shared/words.ts";
import { worker } from "./shared/worker.ts";
import { model } from "./train/model.ts";
import { restore, startError } from "./train/setup.ts";

function Footer() {
  const machine = useSignal("");
  useEffect(() => {
    const describe = async () => {
      const { isolated, threads } = await worker.machine();
      machine.value = isolated
        ? `The CPU backend uses ${threads === 1 ? "one thread" : `${threads} threads`}.`
        : "The CPU backend uses one thread: this server does not send the headers for shared memory. `npm run web` does.";
    };
    // If the worker has ended, that is told elsewhere.
    describe().catch(() => {});
  }, []);
  return (
    <footer>
      <p id="machine">{machine.value}</p>
      <p id="storage">{storage.value}</p>
    </footer>
  );
}

function NoStorage() {
  return (
    <main>
      <ErrorBox
        report={{
          name: "ConfigError",
          summary: "This browser does not let the page store files",
          expected: "a writable private file system: Chrome, Edge, Firefox, or Safari 26 or later",
          hint: "private windows and settings that block site data can also cause this",
        }}
      />
    </main>
  );
}

/** Whether the page can write files to its origin's private file system. */
async function hasStorage(): Promise<boolean> {
  try {
    await navigator.storage.getDirectory();
    return "createWritable" in FileSystemFileHandle.prototype;
  } catch {
    return false;
  }
}

async function begin(): Promise<void> {
  const place = document.querySelector("#app")!;
  // What the visitor had chosen is chosen before the page is shown: a click afterwards counts.
  const open = restore();
  render(
    <>
      <App />
      <Footer />
    </>,
    place,
  );
  if (!(await hasStorage())) {
    document.querySelector(".skip")!.remove();
    render(<NoStorage />, place);
    return;
  }
  await Promise.all([beginRuns(), open()]);
  // A copy of the page for offline use is made last: its downloads would delay the model.
  await new Promise<void>((done) => model.subscribe((opened) => opened && done()));
  await keepForOffline();
}

const { title } = document;
/** The run that has trained in this visit: the tab says when it has ended. */
let live: string | undefined;

effect(() => {
  const run = shown.value;
  const isTraining = run?.state === "training";
  if (isTraining) live = run.id;
  const share = isTraining && `${Math.floor((100 * run.record.step) / run.record.steps)} %`;
  document.title = run && run.id === live ? `${share || capital(nameState(run.state))} – ${title}` : title;
});

begin().catch((error) => {
  startError.value = failureReport(error);
});
