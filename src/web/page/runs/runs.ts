/** The page's runs: the list, the one that is shown, those plotted with it, and what can be done with them. */
import { batch, computed, signal } from "@preact/signals";
import type { DeviceName } from "../../../backend/device.ts";
import { formatBytes } from "../../../plan/memory.ts";
import { hasHead } from "../../../tasks/index.ts";
import { lowestLoss } from "../../../train/best.ts";
import type { Speed } from "../../../train/records.ts";
import { type ErrorReport, hasAdapter, isUnderWay, nextRun, type PageRun, type PageSettings } from "../../protocol.ts";
import { goTo } from "../shared/scroll.ts";
import { attempt, worker } from "../shared/worker.ts";

/** The session-storage key of the run that this tab trains. */
const TRAINED_HERE = "lowrank-trains";

/** Newest first. */
export const runs = signal<readonly PageRun[]>([]);
const shownId = signal<string | null>(null);
/** The ids of the runs that are plotted with the shown one. */
export const plotted = signal<ReadonlySet<string>>(new Set());
/** The speeds of the runs that train, by id. */
const speeds = signal<ReadonlyMap<string, Speed | null>>(new Map());
/** The run that a comparison is about to begin. */
const next = signal<PageRun | undefined>(undefined);
/** Whether a run or a comparison is being prepared. */
const isStarting = signal(false);
export const storage = signal("");
/** The bytes of each stored run, by its id. */
export const sizes = signal<Readonly<Record<string, number>>>({});
/** Errors of actions in the list, and of a comparison. */
export const runsError = signal<ErrorReport | null>(null);
export const compareError = signal<ErrorReport | null>(null);

export const shown = computed(() => runs.value.find(({ id }) => id === shownId.value) ?? null);
export const speed = computed(() =>
  shown.value?.state === "training" ? (speeds.value.get(shown.value.id) ?? null) : null,
);
/** The shown run, if it can write: its adapter is compared with its base model. */
export const writer = computed(() => {
  const run = shown.value;
  return run && !hasHead(run.record) && hasAdapter(run) ? run : null;
});
/** The run that trains, or that a comparison is about to begin. */
export const current = computed(() => runs.value.find(isUnderWay) ?? next.value);
export const isTraining = computed(() => isStarting.value || current.value !== undefined);
/** The comparison of the shown run, else the newest one, in the order of its methods. */
export const compared = computed(() => {
  const id = shown.value?.comparison ?? runs.value.find(({ comparison }) => comparison !== undefined)?.comparison;
  return id === undefined ? [] : comparedRuns(id);
});

export const comparedRuns = (id: string) => runs.value.filter((run) => run.comparison === id).reverse();

/** The run that a reload of this tab interrupted, until it resumes: `elsewhere` until the old worker has ended. */
let reloaded = sessionStorage.getItem(TRAINED_HERE);
/** The run that was shown last without being chosen. While it is shown, the visitor follows what happens. */
let followed: string | null = null;

/** Lists the stored runs. A run that this tab was training when it was reloaded resumes automatically. */
export async function beginRuns(): Promise<void> {
  worker.listen((event) => {
    if (event.type === "run") onRun(event.run, event.speed);
    if (event.type === "runs") attempt(refresh(), runsError);
    // After a download.
    if (event.type === "idle") void measureStorage();
    if (event.type === "ended") attempt(cutShort(event.report), runsError);
  });
  await refresh();
}

async function refresh(): Promise<void> {
  const list = await worker.runs();
  batch(() => {
    runs.value = list.sort(byTime);
    const [latest] = runs.value;
    if (!shown.value && latest) follow(latest);
  });
  resumeReloaded();
  void measureStorage();
}

const byTime = (a: PageRun, b: PageRun) => b.record.created - a.record.created;

function resumeReloaded(): void {
  const run = runs.value.find(({ id }) => id === reloaded);
  if (run?.state === "elsewhere") return;
  reloaded = null;
  if (run?.state === "interrupted" || run?.state === "waiting") resume(run);
}

/** Notes on a worker's runs why it has ended. The next worker finds them interrupted. */
async function cutShort(error: ErrorReport): Promise<void> {
  if (!current.value) return;
  next.value = undefined;
  for (const { id } of runs.value.filter(isUnderWay)) await worker.noteError(id, error);
  await refresh();
}

async function measureStorage(): Promise<void> {
  const { usage = 0 } = await navigator.storage.estimate();
  storage.value = `Stored in this browser: ${formatBytes(usage)} (this page for offline use, models and runs).`;
  // A worker that has ended is told elsewhere.
  sizes.value = await worker.sizes().catch(() => sizes.value);
}

function onRun(run: PageRun, speed: Speed | null): void {
  const before = runs.value.find(({ id }) => id === run.id)?.state;
  batch(() => {
    runs.value = [...runs.value.filter(({ id }) => id !== run.id), run].sort(byTime);
    speeds.value = new Map(speeds.value).set(run.id, speed);
    next.value = nextRun(run, runs.value);
    const hasBegun = before === undefined || (before !== run.state && run.state === "training");
    if (hasBegun && isAwaited()) follow(run);
    if (before !== run.state) showBest(run);
  });
  const trained = runs.value.find(({ state }) => state === "training") ?? next.value;
  if (trained) sessionStorage.setItem(TRAINED_HERE, trained.id);
  else sessionStorage.removeItem(TRAINED_HERE);
  if (!isUnderWay(run) && before !== run.state) void measureStorage();
}

const hasEnded = ({ state }: PageRun) => state === "finished" || state === "failed";

/** Whether a run that begins is shown: unless the visitor has chosen another one, or the shown one has not ended. */
const isAwaited = () => !shown.value || (shownId.value === followed && hasEnded(shown.value));

/** Shows the best run of a comparison that has ended, unless the visitor has chosen another one. */
function showBest({ comparison }: PageRun): void {
  if (comparison === undefined || shownId.value !== followed) return;
  const all = comparedRuns(comparison);
  if (!all.every(hasEnded)) return;
  const finished = all.filter(({ state }) => state === "finished");
  const best = lowestLoss(finished, ({ record }) => record.results!.after.val!.loss) ?? finished[0];
  if (best) follow(best);
}

/** Shows the run that is about to begin. Rejects if it cannot begin. */
export async function startRun(settings: PageSettings): Promise<void> {
  await began(worker.start(settings));
}

export function startComparison(settings: PageSettings): void {
  attempt(began(worker.compare(settings)), compareError);
}

/** Trains more seeds of a finished run. */
export const addSeeds = ({ id }: PageRun) => attempt(began(worker.addSeeds(id)), compareError);

async function began(starting: Promise<string>): Promise<void> {
  isStarting.value = true;
  try {
    follow({ id: await starting });
    goTo("training");
  } finally {
    isStarting.value = false;
  }
  void navigator.storage.persist();
}

/** Resumes from the last checkpoint; on `device` if given. */
export function resume(run: PageRun, device?: DeviceName, error = runsError): void {
  attempt(worker.resume(run.id, device), error);
}
export const pause = () => attempt(worker.pause(), runsError);
export const stop = () => attempt(worker.stop(), runsError);

/** Measures what a run has learned so far, and ends it. */
export const finish = (run: PageRun) =>
  attempt(isUnderWay(run) ? worker.finish() : worker.resume(run.id, undefined, true), runsError);

/** Goes on with a comparison. `run`: its next one. */
export function continueComparison(run: PageRun): void {
  follow(run);
  resume(run, undefined, compareError);
}

/** Shows a run that the visitor has chosen. */
export function look(run: PageRun): void {
  show(run);
  goTo("training");
}

function show(run: Pick<PageRun, "id">): void {
  batch(() => {
    shownId.value = run.id;
    plot(run, false);
  });
}

/** Shows a run that the visitor has not chosen among others. */
function follow(run: Pick<PageRun, "id">): void {
  followed = run.id;
  show(run);
}

export function plot({ id }: Pick<PageRun, "id">, on: boolean): void {
  const ids = new Set(plotted.value);
  if (on) ids.add(id);
  else ids.delete(id);
  plotted.value = ids;
}

/** Stores a run or an adapter from files, and goes to it, or to the error. `model`: see `load` in the worker. */
export function load(files: readonly File[], model: string): void {
  if (files.length === 0) return;
  const work = worker.load([...files], model).then(open);
  work.then(
    () => goTo("training"),
    () => goTo("runs"),
  );
  attempt(work, runsError);
}

/** Shows a run that is new in the list. */
export async function open(id: string): Promise<void> {
  show({ id });
  await refresh();
}

export function forget(run: PageRun): void {
  plot(run, false);
  attempt(worker.forget(run.id).then(refresh), runsError);
}
