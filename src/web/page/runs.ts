/** The page's runs: the list, the selected one, and the actions on them. */
import { showBytes } from "../../plan/memory.ts";
import type { Speed } from "../../run/live-run.ts";
import { type ErrorReport, isUnderWay, nextRun, type PageRun, type PageSettings } from "../protocol.ts";
import { failureReport, type WorkerClient } from "./client.ts";
import { ComparePanel } from "./compare-panel.ts";
import { byId, h, offerFile, setText } from "./dom.ts";
import type { Fields } from "./fields.ts";
import { runName } from "./format.ts";
import { LearnedPanel } from "./learned-panel.ts";
import { showError } from "./notice.ts";
import { showOutcome } from "./outcome.ts";
import { RunPanel } from "./run-panel.ts";
import { runsCsv } from "./runs-csv.ts";
import { RunsPanel } from "./runs-panel.ts";
import { download, TakePanel } from "./take-panel.ts";
import { TryPanel } from "./try-panel.ts";
import { WritePanel } from "./write-panel.ts";

/** The session-storage key of the run that this tab trains. */
const TRAINED_HERE = "lowrank-trains";
/** Milliseconds for which a deletion can be taken back. */
const UNDO_MS = 20_000;

export class Runs {
  private readonly runs = new Map<string, PageRun>();
  private readonly compared = new Set<string>();
  private shown: string | null = null;
  /** The speeds of the runs that train, by id. */
  private readonly speeds = new Map<string, Speed | null>();
  private undoTimer = 0;
  /** The run that a comparison is about to begin. */
  private next: PageRun | undefined;
  /** The run that a reload of this tab interrupted, until it resumes: `elsewhere` until the old worker has ended. */
  private cutOff = sessionStorage.getItem(TRAINED_HERE);
  private readonly panel: RunPanel;
  private readonly list: RunsPanel;
  private readonly tryPanel: TryPanel;
  readonly compare: ComparePanel;
  readonly write: WritePanel;
  private readonly takePanel: TakePanel;
  private readonly learned: LearnedPanel;
  /** Called when a run has begun or ended. */
  onIdle = () => {};
  /** Called when the list or a run's state has changed. */
  onList = () => {};

  constructor(
    private readonly client: WorkerClient,
    fields: Fields,
    /** The selected base model. */
    private readonly model: () => string | null,
  ) {
    this.panel = new RunPanel({
      pause: () => this.attempt(client.pause()),
      stop: () => this.attempt(client.stop()),
      resume: (run, device) => this.attempt(client.resume(run.id, device)),
      set: (key, value) => fields.correct(key, value),
    });
    this.list = new RunsPanel({
      show: (run) => this.look(run),
      compare: (run, on) => {
        if (on) this.compared.add(run.id);
        else this.compared.delete(run.id);
        this.draw();
      },
      download: (run, what) => this.attempt(download(client, run, what)),
      change: (run, change) => this.attempt(client.change(run.id, change).then(() => this.refresh())),
      forget: (run) => this.attempt(this.forget(run)),
    });
    this.compare = new ComparePanel({
      start: (settings) => this.attempt(this.begun(client.compare(settings)), "compare-error"),
      resume: (run) => this.attempt(client.resume(run.id), "compare-error"),
      stop: () => this.attempt(client.stop()),
    });
    byId("runs-export").addEventListener("click", () =>
      offerFile(new Blob([runsCsv(this.all)], { type: "text/csv" }), "lowrank-runs.csv"),
    );
    this.tryPanel = new TryPanel(client);
    this.write = new WritePanel(
      client,
      () => fields.values.device,
      (id) => this.attempt(this.open(id)),
    );
    this.takePanel = new TakePanel(client);
    this.learned = new LearnedPanel(client);
    const files = byId<HTMLInputElement>("adapter-files");
    files.addEventListener("change", () => {
      this.attempt(this.load([...(files.files ?? [])]));
      files.value = "";
    });
    this.acceptDrops();
    client.listen((event) => {
      if (event.type === "run") this.onRun(event.run, event.speed);
      if (event.type === "runs") this.attempt(this.refresh());
      // After a download.
      if (event.type === "idle") void this.showStorage();
      if (event.type === "ended") this.attempt(this.cutShort(event.report));
    });
  }

  /** The run that trains, or that a comparison is about to begin. */
  private get current(): PageRun | undefined {
    return [...this.runs.values()].find(isUnderWay) ?? this.next;
  }

  get isTraining(): boolean {
    return this.current !== undefined;
  }

  /** Why no run can start now; null: one can. */
  get waiting(): string | null {
    return this.isTraining ? "A run is training: the next one can start when it ends." : null;
  }

  /** Lists the stored runs. A run that this tab was training when it was reloaded resumes automatically. */
  async begin(): Promise<void> {
    await this.client.purge();
    await this.refresh();
    const [latest] = this.runs.values();
    if (latest) this.look(latest);
    else this.draw();
  }

  private resumeCutOff(): void {
    const run = this.cutOff === null ? undefined : this.runs.get(this.cutOff);
    if (run?.state === "elsewhere") return;
    this.cutOff = null;
    if (run?.state === "interrupted" || run?.state === "waiting") this.attempt(this.client.resume(run.id));
  }

  /** Notes on a worker's runs why it has ended. The next worker finds them interrupted. */
  private async cutShort(error: ErrorReport): Promise<void> {
    if (!this.isTraining) return;
    this.next = undefined;
    for (const { id } of this.all.filter(isUnderWay)) await this.client.change(id, { error });
    await this.refresh();
    this.onIdle();
  }

  async start(settings: PageSettings): Promise<void> {
    await this.begun(this.client.start(settings));
  }

  /** Shows the run that is about to begin. */
  private async begun(starting: Promise<string>): Promise<void> {
    this.shown = await starting;
    void navigator.storage.persist();
    byId("training").focus({ preventScroll: true });
    byId("training").scrollIntoView({ block: "nearest" });
  }

  /** Newest first. */
  get all(): PageRun[] {
    return [...this.runs.values()].sort((a, b) => b.record.created - a.record.created);
  }

  async refresh(): Promise<void> {
    const runs = await this.client.runs();
    this.runs.clear();
    for (const run of runs) this.runs.set(run.id, run);
    this.onList();
    if (this.shown !== null && !this.runs.has(this.shown)) this.shown = runs[0]?.id ?? null;
    this.draw();
    this.resumeCutOff();
    await this.showStorage();
  }

  private async showStorage(): Promise<void> {
    const { usage = 0 } = await navigator.storage.estimate();
    const text = `Stored in this browser: ${showBytes(usage)} (this page for offline use, models and runs).`;
    setText(byId("storage"), text);
  }

  private onRun(run: PageRun, speed: Speed | null): void {
    const isNew = !this.runs.has(run.id);
    const { isTraining } = this;
    const before = this.runs.get(run.id)?.state;
    this.runs.set(run.id, run);
    this.speeds.set(run.id, speed);
    this.next = nextRun(run, this.all);
    const trained = [...this.runs.values()].find(({ state }) => state === "training") ?? this.next;
    if (trained) sessionStorage.setItem(TRAINED_HERE, trained.id);
    else sessionStorage.removeItem(TRAINED_HERE);
    if (before !== run.state) this.onList();
    const hasBegun = isNew || (before !== run.state && run.state === "training");
    if (hasBegun && this.follows(run)) this.shown = run.id;
    this.draw();
    if (this.isTraining !== isTraining) this.onIdle();
    if (!isUnderWay(run) && before !== run.state) void this.showStorage();
  }

  /** Whether a run that begins is selected: in a comparison, unless the visitor looks elsewhere or at a companion. */
  private follows({ comparison }: PageRun): boolean {
    const shown = this.shown === null ? undefined : this.runs.get(this.shown);
    if (comparison === undefined || shown === undefined) return true;
    return shown.comparison === comparison && !isUnderWay(shown);
  }

  private look(run: PageRun): void {
    this.shown = run.id;
    this.compared.delete(run.id);
    this.draw();
  }

  private draw(): void {
    const { all } = this;
    const run = all.find(({ id }) => id === this.shown);
    this.list.show(all, this.shown, this.compared);
    this.compare.use(all, run, this.current);
    byId("runs-export").hidden = all.length === 0;
    this.tryPanel.use(run ?? null);
    this.write.use(run ?? null);
    this.takePanel.use(run ?? null);
    this.learned.use(run ?? null);
    if (!run) return;
    const isLive = run.state === "training";
    this.panel.show(
      run,
      isLive ? (this.speeds.get(run.id) ?? null) : null,
      all.filter(({ id }) => this.compared.has(id)),
    );
    showOutcome(run);
    document.title = isLive ? `${Math.floor((100 * run.record.step) / run.record.steps)} % – Lowrank` : "Lowrank";
  }

  private async load(files: readonly File[]): Promise<void> {
    if (files.length === 0) return;
    await this.open(await this.client.load([...files], this.model() ?? "gpt2-micro"));
  }

  /** A zip file can be dropped anywhere on the page. Other files are data. */
  private acceptDrops(): void {
    const take = (event: DragEvent) => {
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0 || !files.every(({ name }) => name.endsWith(".zip"))) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      byId("drop").classList.remove("over");
      this.attempt(this.load(files));
    };
    document.addEventListener("drop", take, { capture: true });
  }

  /** Selects a run that is new in the list. */
  private async open(id: string): Promise<void> {
    this.shown = id;
    await this.refresh();
  }

  private async forget(run: PageRun): Promise<void> {
    await this.client.purge();
    await this.client.forget(run.id);
    this.compared.delete(run.id);
    await this.refresh();
    this.offerUndo(run);
  }

  /** The deletion can be taken back for a while. The focus goes there, because the row with the button is gone. */
  private offerUndo(run: PageRun): void {
    const undo = h(
      "button",
      { type: "button", onclick: () => this.attempt(this.endUndo(this.client.unforget(run.id))) },
      "Undo",
    );
    const free = h(
      "button",
      { type: "button", onclick: () => this.attempt(this.endUndo(this.client.purge())) },
      "Free its space now",
    );
    byId("runs-undo").replaceChildren(h("p", { role: "status" }, `Deleted: ${runName(run)}.`), undo, free);
    undo.focus();
    clearTimeout(this.undoTimer);
    this.undoTimer = window.setTimeout(() => this.attempt(this.endUndo(this.client.purge())), UNDO_MS);
  }

  private async endUndo(work: Promise<void>): Promise<void> {
    clearTimeout(this.undoTimer);
    await work;
    const place = byId("runs-undo");
    if (place.contains(document.activeElement)) byId("runs-title").focus({ preventScroll: true });
    place.replaceChildren();
    await this.refresh();
  }

  /** Shows the error of an action on a run. */
  private attempt(work: Promise<unknown>, where = "runs-error"): void {
    const place = byId(where);
    work.then(
      () => showError(place, null),
      (error) => showError(place, failureReport(error)),
    );
  }
}
