/** The page: connects the settings, the runs and the worker. */
import { nextTurn } from "#platform";
import { showDuration, showShare } from "../../format.ts";
import { showBytes } from "../../plan/memory.ts";
import { defaultsFor } from "../../train/options.ts";
import type { PageSettings, RunEstimate } from "../protocol.ts";
import { AdapterPicker } from "./adapter-picker.ts";
import { failureReport, openClient } from "./client.ts";
import { DataPanel } from "./data-panel.ts";
import { byId, setText } from "./dom.ts";
import { Fields, OF_DATA } from "./fields.ts";
import { compact, count, percent } from "./format.ts";
import { HowPanel } from "./how-panel.ts";
import { ModelPanel } from "./model-panel.ts";
import { remedies, showError } from "./notice.ts";
import { keepForOffline } from "./offline.ts";
import { Runs } from "./runs.ts";
import { linkTo, type Saved, savedSettings, saveSettings } from "./saved.ts";

/** Milliseconds without input before the settings are checked. */
const PAUSE = 150;

const client = openClient();
const start = byId<HTMLButtonElement>("start");
const setup = byId<HTMLFormElement>("setup");

const data = new DataPanel(
  client,
  () => changed(true),
  (objective) => {
    fields.setObjective(objective);
    offer();
  },
);
const model = new ModelPanel(client, () => {
  changed(true);
  offer();
});
// The browser is given a turn between the parts: one long task would delay clicks and scrolling.
await nextTurn();
const fields = new Fields(byId("fields"), byId("more-fields"), (key) => changed(OF_DATA.includes(key), PAUSE));
const adapterPicker = new AdapterPicker(() => {
  fields.beginWith(adapterPicker.adapter !== undefined);
  changed(false);
});
await nextTurn();
const runs = new Runs(client, fields, () => model.name);
await nextTurn();
const how = new HowPanel((rank) => fields.set("rank", rank));

/** What is chosen, as the next visit and a link have it. */
function saved(): Saved {
  return { ...data.settings, ...(model.name === null ? {} : { model: model.name }), ...fields.settings };
}

/** The settings of the run; null while there is no data or no model. */
function settingsNow(): PageSettings | null {
  if (!data.isReady || model.name === null) return null;
  const { adapter } = adapterPicker;
  return {
    ...saved(),
    ...{ model: model.name, device: fields.values.device },
    ...(data.objective === "lm" ? {} : { skipFaulty: true }),
    ...(adapter === undefined ? {} : { adapter }),
  };
}

let timer = 0;
let dataChanged = false;
/** Of the training set. */
let rows = 0;
/** Counts changes, so that answers for outdated settings are dropped. */
let version = 0;

/** Whether the settings of the last visit are filled in: until then there are none to save. */
let isRestored = false;

function changed(ofData: boolean, pause = 0): void {
  runs.compare.offer(null);
  dataChanged ||= ofData;
  version++;
  start.disabled = true;
  clearTimeout(timer);
  if (!isRestored) return;
  saveSettings(saved());
  timer = window.setTimeout(update, pause);
}

/** Reads the messages or texts if they changed, and estimates the run. */
async function update(): Promise<void> {
  const settings = settingsNow();
  const mine = version;
  showEstimate(null);
  showError(byId("start-error"), null);
  if (!settings) return;
  if (dataChanged) {
    try {
      const report = await (settings.objective === "lm" ? client.readTexts(settings) : client.readData(settings));
      if (mine !== version) return;
      dataChanged = false;
      data.show(report);
      rows = report.stats.train.rows;
    } catch (error) {
      if (mine === version) data.fail(error);
      return;
    }
  }
  suggestSettings();
  // The suggested settings are another change.
  if (mine !== version || !fields.valid) return;
  try {
    const estimate = await client.estimate(settings);
    if (mine !== version) return;
    showEstimate(estimate);
    runs.compare.offer(settings, estimate.seconds);
    start.disabled = runs.isTraining;
  } catch (error) {
    if (mine !== version) return;
    const report = failureReport(error);
    showError(
      byId("start-error"),
      report,
      remedies(report, (key, value) => fields.correct(key, value)),
    );
  }
}

/** Shows the defaults for so many rows: few need more epochs, and very few a smaller batch. */
function suggestSettings(): void {
  fields.setDefault("batchSize", Math.min(fields.start.batchSize, rows));
  const { batchSize, accumulate } = fields.values;
  fields.setDefault("epochs", defaultsFor(rows, { batchSize, accumulate }, fields.start).epochs);
  const given = fields.differs("epochs") ? { epochs: fields.values.epochs } : {};
  fields.setDefault("evalEvery", defaultsFor(rows, { batchSize, accumulate, ...given }, fields.start).evalEvery);
}

/** Shows on the button how long the run takes, and below it what it trains; null: not known yet. */
function showEstimate(estimate: RunEstimate | null): void {
  how.show({ values: fields.values, model: model.config, estimate });
  setText(start, estimate ? `Train (about ${showDuration(roughly(estimate.seconds))})` : "Train");
  const { trainable = 0, values = 1, steps = 0, bytes = 0 } = estimate ?? {};
  setText(
    byId("start-help"),
    runs.waiting ??
      (estimate
        ? `Trains ${count(trainable)} of ${compact(values)} parameters (${showShare(trainable / values)}) in ${count(steps)} ${steps === 1 ? "step" : "steps"}, with ${showBytes(bytes)} of memory.`
        : ""),
  );
}

/** Seconds, as round as a guess is. */
function roughly(seconds: number): number {
  const unit = seconds < 60 ? 10 : 60;
  return Math.max(10, Math.round(seconds / unit) * unit);
}

// Enter in a field applies its value; it does not start a run.
setup.addEventListener("submit", (event) => event.preventDefault());
start.addEventListener("click", async () => {
  const settings = settingsNow();
  if (!settings) return;
  start.disabled = true;
  try {
    showError(byId("start-error"), null);
    await runs.start(settings);
  } catch (error) {
    showError(byId("start-error"), failureReport(error));
    start.disabled = false;
  }
});
byId("reset").addEventListener("click", () => fields.reset());
byId("link").addEventListener("click", async () => {
  const link = linkTo(saved());
  const without = data.settings.data === undefined ? "" : " It does not have your data.";
  const copied = await navigator.clipboard.writeText(link).then(
    () => "Copied.",
    () => `The browser does not allow copying: ${link}`,
  );
  setText(byId("link-done"), copied + without);
});

runs.onIdle = () => changed(false);
runs.onList = offer;

function offer(): void {
  runs.write.offer(model.name, data.objective);
  adapterPicker.offer(model.name, data.objective, runs.all);
}

client.listen((event) => {
  if (event.type === "busy")
    setText(byId("busy"), event.share === null ? event.text : `${event.text}, ${percent(event.share, 0)}`);
  if (event.type === "idle" || event.type === "ended") setText(byId("busy"), "");
  if (event.type === "ended") {
    // Answers to earlier requests have arrived.
    version++;
    showError(byId("start-error"), event.report, [{ label: "Try again", take: () => changed(true) }]);
  }
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
  // What the visitor had chosen is chosen before the page is shown: a click afterwards counts.
  const { settings, isLink, unknown } = savedSettings();
  const { objective, data: _, dataset, encoding, textColumn, labelColumn, model: base, ...ofFields } = settings;
  data.restoreObjective(objective);
  unknown.push(...fields.restore(ofFields));
  const restored = data.restore(settings, isLink);
  // All parts are shown at once, so that the layout does not shift.
  for (const part of document.querySelectorAll<HTMLElement>("main, footer")) part.hidden = false;
  const { isolated, threads } = await client.machine();
  setText(
    byId("machine"),
    isolated
      ? `The CPU backend uses ${threads === 1 ? "one thread" : `${threads} threads`}.`
      : "The CPU backend uses one thread: this server does not send the headers for shared memory. `npm run web` does.",
  );
  await restored;
  await runs.begin();
  isRestored = true;
  await model.begin(base, isLink);
  if (isLink && unknown.length > 0)
    showError(byId("link-error"), {
      name: "ConfigError",
      summary: "The link has settings that this page does not know",
      found: unknown.join(", "),
      hint: "they were left out",
    });
  await keepForOffline();
}

begin().catch((error) => showError(byId("start-error"), failureReport(error)));
