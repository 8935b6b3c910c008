/** The page's runs: the list, the selected one, and the actions on them. */
import { showBytes } from "../../plan/memory.ts";
import { isUnderWay, type PageSettings, type RunRecord, type Speed } from "../protocol.ts";
import { reportOf, type WorkerClient } from "./client.ts";
import { byId, setText } from "./dom.ts";
import type { Fields } from "./fields.ts";
import { LearnedPanel } from "./learned-panel.ts";
import { showError } from "./notice.ts";
import { showOutcome } from "./outcome.ts";
import { RunPanel } from "./run-panel.ts";
import { RunsPanel } from "./runs-panel.ts";
import { download, TakePanel } from "./take-panel.ts";
import { TryPanel } from "./try-panel.ts";
import { WritePanel } from "./write-panel.ts";

/** The session-storage key of the run that this tab trains. */
const TRAINED_HERE = "lowrank-trains";

export class Runs {
  private readonly runs = new Map<string, RunRecord>();
  private readonly compared = new Set<string>();
  private shown: string | null = null;
  private speed: Speed | null = null;
  /** The run that a reload of this tab interrupted, until it resumes. It is `elsewhere` until the previous worker has ended. */
  private cutOff = sessionStorage.getItem(TRAINED_HERE);
  private readonly panel: RunPanel;
  private readonly list: RunsPanel;
  private readonly tryPanel: TryPanel;
  readonly write: WritePanel;
  private readonly takePanel: TakePanel;
  private readonly learned: LearnedPanel;
  /** Called when the run of this page has ended. */
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
      unpause: () => this.attempt(client.unpause()),
      stop: () => this.attempt(client.stop()),
      resume: (run, device) => this.attempt(client.resume(run.id, device)),
      set: (key, value) => fields.set(key, value),
    });
    this.list = new RunsPanel({
      show: (run) => this.look(run),
      compare: (run, on) => {
        if (on) this.compared.add(run.id);
        else this.compared.delete(run.id);
        this.draw();
      },
      download: (run, what) => this.attempt(download(client, run, what)),
      forget: (run) => this.attempt(this.forget(run)),
    });
    this.tryPanel = new TryPanel(client);
    this.write = new WritePanel(
      client,
      () => fields.values.device,
      (id) => this.attempt(this.open(id)),
    );
    this.takePanel = new TakePanel(client);
    this.learned = new LearnedPanel(client);
    const files = byId<HTMLInputElement>("adapter-files");
    files.addEventListener("change", () => this.attempt(this.load(files)));
    client.listen((event) => {
      if (event.type === "run") this.onRun(event.run, event.speed);
      if (event.type === "runs") this.attempt(this.refresh());
    });
  }

  get isTraining(): boolean {
    return [...this.runs.values()].some(isUnderWay);
  }

  /** Why no run can start now; null: one can. */
  get waiting(): string | null {
    const run = [...this.runs.values()].find(isUnderWay);
    if (!run) return null;
    return run.state === "paused"
      ? "A run is paused: resume it or stop it before you start another one."
      : "A run is training: the next one can start when it ends.";
  }

  /** Lists the stored runs. A run that this tab was training when it was reloaded resumes automatically. */
  async begin(): Promise<void> {
    await this.refresh();
    const [latest] = this.runs.values();
    if (latest) this.look(latest);
    else this.draw();
  }

  private resumeCutOff(): void {
    const run = this.cutOff === null ? undefined : this.runs.get(this.cutOff);
    if (run?.state === "elsewhere") return;
    this.cutOff = null;
    if (run?.state === "interrupted") this.attempt(this.client.resume(run.id));
  }

  async start(settings: PageSettings): Promise<void> {
    this.shown = await this.client.start(settings);
    void navigator.storage.persist();
    byId("training").focus({ preventScroll: true });
    byId("training").scrollIntoView({ block: "nearest" });
  }

  /** Newest first. */
  get all(): RunRecord[] {
    return [...this.runs.values()].sort((a, b) => b.created - a.created);
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

  private onRun(run: RunRecord, speed: Speed | null): void {
    const isNew = !this.runs.has(run.id);
    const before = this.runs.get(run.id)?.state;
    this.runs.set(run.id, run);
    this.speed = speed;
    if (run.state === "training") sessionStorage.setItem(TRAINED_HERE, run.id);
    else sessionStorage.removeItem(TRAINED_HERE);
    if (before !== run.state) this.onList();
    if (isNew || (before !== run.state && run.state === "training")) this.shown = run.id;
    this.draw();
    if (this.isTraining || before === run.state) return;
    this.onIdle();
    void this.showStorage();
  }

  private look(run: RunRecord): void {
    this.shown = run.id;
    this.compared.delete(run.id);
    this.draw();
  }

  private draw(): void {
    const { all } = this;
    const run = all.find(({ id }) => id === this.shown);
    this.list.show(all, this.shown, this.compared);
    this.tryPanel.use(run ?? null);
    this.write.use(run ?? null);
    this.takePanel.use(run ?? null);
    this.learned.use(run ?? null);
    if (!run) return;
    const isLive = run.state === "training";
    this.panel.show(
      run,
      isLive ? this.speed : null,
      all.filter(({ id }) => this.compared.has(id)),
    );
    showOutcome(run);
    document.title = isLive ? `${Math.floor((100 * run.step) / run.steps)} % – Lowrank` : "Lowrank";
  }

  private async load(input: HTMLInputElement): Promise<void> {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length === 0) return;
    await this.open(await this.client.loadAdapter(files, this.model() ?? "gpt2-micro"));
  }

  /** Selects a run that is new in the list. */
  private async open(id: string): Promise<void> {
    this.shown = id;
    await this.refresh();
  }

  private async forget(run: RunRecord): Promise<void> {
    await this.client.forget(run.id);
    this.compared.delete(run.id);
    await this.refresh();
  }

  /** Shows the error of an action on a run. */
  private attempt(work: Promise<unknown>): void {
    const place = byId("runs-error");
    work.then(
      () => showError(place, null),
      (error) => showError(place, reportOf(error)),
    );
  }
}
