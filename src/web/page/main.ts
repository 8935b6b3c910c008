/** The page: connects the settings, the runs and the worker. */
import { showBytes } from "../../plan/memory.ts";
import type { PageSettings, RunEstimate } from "../protocol.ts";
import { AdapterPicker } from "./adapter-picker.ts";
import { openClient, reportOf } from "./client.ts";
import { DataPanel } from "./data-panel.ts";
import { byId, setFigures, setText } from "./dom.ts";
import { Fields, OF_DATA } from "./fields.ts";
import { compact, count, percent } from "./format.ts";
import { ModelPanel } from "./model-panel.ts";
import { remedies, showError } from "./notice.ts";
import { keepForOffline } from "./offline.ts";
import { Runs } from "./runs.ts";
import { WritePanel } from "./write-panel.ts";

/** Milliseconds without input before the settings are checked. */
const PAUSE = 150;

const client = openClient();
const start = byId<HTMLButtonElement>("start");
const setup = byId<HTMLFormElement>("setup");

const data = new DataPanel(client, () => changed(true));
const model = new ModelPanel(client, () => {
  changed(true);
  offer();
});
const fields = new Fields(byId("fields"), byId("more-fields"), (key) => changed(OF_DATA.includes(key), PAUSE));
const adapterPicker = new AdapterPicker(() => {
  fields.beginWith(adapterPicker.adapter !== null);
  changed(false);
});
const runs = new Runs(client, fields, () => model.name);
const write = new WritePanel(
  client,
  () => fields.values.device,
  () => void runs.refresh(),
);

/** The current settings; null while no file or no model is selected. */
function settingsNow(): PageSettings | null {
  const [{ choice }, { name }, { adapter }] = [data, model, adapterPicker];
  if (choice === null || name === null) return null;
  const { device, split, balance, dedupe, maxLength, ...options } = fields.chosen;
  return { data: choice, model: name, adapter, device, split, balance, dedupe, maxLength, options };
}

let timer = 0;
let dataChanged = false;
/** Counts changes, so that answers for outdated settings are dropped. */
let version = 0;

function changed(ofData: boolean, pause = 0): void {
  runs.compare.offer(null);
  dataChanged ||= ofData;
  version++;
  start.disabled = true;
  clearTimeout(timer);
  timer = window.setTimeout(update, pause);
}

/** Reads the messages if they changed, and estimates the run. */
async function update(): Promise<void> {
  const settings = settingsNow();
  const mine = version;
  if (!settings) {
    showEstimate(null);
    return;
  }
  if (dataChanged) {
    try {
      const report = await client.readData(settings);
      if (mine !== version) return;
      dataChanged = false;
      data.show(report);
    } catch (error) {
      if (mine !== version) return;
      data.fail(error);
      showEstimate(null);
      return;
    }
  }
  if (!fields.valid) {
    showEstimate(null);
    return;
  }
  try {
    const estimate = await client.estimate(settings);
    if (mine !== version) return;
    showEstimate(estimate);
    runs.compare.offer(settings);
    showError(byId("start-error"), null);
    start.disabled = runs.isTraining;
  } catch (error) {
    if (mine !== version) return;
    showEstimate(null);
    const report = reportOf(error);
    showError(
      byId("start-error"),
      report,
      remedies(report, (key, value) => fields.set(key, value)),
    );
  }
}

function showEstimate(estimate: RunEstimate | null): void {
  const none = "–";
  setFigures(byId("estimate"), [
    [
      "Trainable parameters",
      estimate
        ? `${count(estimate.trainable)} of ${compact(estimate.values)} (${percent(estimate.trainable / estimate.values, 2)})`
        : none,
    ],
    ["Steps", estimate ? `${count(estimate.steps)} (${count(estimate.stepsPerEpoch)}/epoch)` : none],
    ["Memory", estimate ? showBytes(estimate.bytes) : none],
  ]);
}

setup.addEventListener("submit", async (event) => {
  event.preventDefault();
  const settings = settingsNow();
  if (!settings || start.disabled) return;
  start.disabled = true;
  try {
    showError(byId("start-error"), null);
    await runs.start(settings);
  } catch (error) {
    showError(byId("start-error"), reportOf(error));
    start.disabled = false;
  }
});

runs.onIdle = () => changed(false);
runs.onList = offer;

function offer(): void {
  write.offer(model.name, runs.all);
  adapterPicker.offer(model.name, runs.all);
}

client.listen((event) => {
  if (event.type === "busy")
    setText(byId("busy"), event.share === null ? event.text : `${event.text}, ${percent(event.share, 0)}`);
  if (event.type === "idle") setText(byId("busy"), "");
});

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
  if (!(await hasStorage())) {
    const main = document.querySelector("main")!;
    main.hidden = false;
    document.querySelector(".skip")!.remove();
    showError(main, {
      name: "ConfigError",
      summary: "This browser does not let the page store files",
      expected: "a writable private file system: Chrome, Edge, Firefox, or Safari 26 or later",
      hint: "private windows and settings that block site data can also cause this",
    });
    return;
  }
  showEstimate(null);
  // All parts are shown at once, so that the layout does not shift.
  for (const part of document.querySelectorAll<HTMLElement>("main, footer")) part.hidden = false;
  const { isolated, threads } = await client.machine();
  setText(
    byId("machine"),
    isolated
      ? `The CPU backend uses ${threads === 1 ? "one thread" : `${threads} threads`}.`
      : "The CPU backend uses one thread: this server does not send the headers for shared memory. `npm run web` does.",
  );
  await runs.begin();
  await model.begin();
  await keepForOffline();
}

void begin();
