/**
 * The page's worker as it ships, in Node: dist/web/dist/page/worker.js with stand-ins for what a browser has. Each tab
 * has the modules for itself; all of a browser share files, locks and the database.
 */
import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { pathToFileURL } from "node:url";
import { IDBFactory } from "fake-indexeddb";
import { allowRelaxedSimd, packagePath } from "#platform";
import { blobReader } from "../../src/platform/reader.ts";
import type { Answer, ErrorReport, Event, PageRun, PageSettings } from "../../src/web/protocol.ts";
import type { Api } from "../../src/web/worker/worker.ts";
import { Locks } from "./locks.ts";
import { type FileWork, MemoryFiles } from "./memory-files.ts";
import { messages } from "./tiny.ts";

const WORKER = pathToFileURL(packagePath("dist/web/dist/page/worker.js")).href;

/** Where the modules of a tab find what they have as globals. */
const TABS = new Map<string, Record<string, unknown>>();
Object.assign(globalThis, { pageTabs: TABS });
/** All of a tab's modules have its number in their address, and take its globals from there. */
const HOOKS = `
  const tabOf = (url) => new URL(url ?? "file:").searchParams.get("tab");
  export async function resolve(name, context, next) {
    const found = await next(name, context);
    const tab = tabOf(context.parentURL);
    return tab === null ? found : { ...found, url: found.url + "?tab=" + tab };
  }
  export async function load(url, context, next) {
    const loaded = await next(url, context);
    const tab = tabOf(url);
    if (tab === null) return loaded;
    const names = "self, location, navigator, indexedDB, BroadcastChannel, fetch, isSecureContext, origin, SharedArrayBuffer";
    return { ...loaded, source: "const { " + names + " } = globalThis.pageTabs.get('" + tab + "');" + loaded.source };
  }
`;
let isHooked = false;
// Or the first device that Node opens would do so, between two of a page.
allowRelaxedSimd();

/** Of the worker's API, what its page would get. */
class CallFailed extends Error {
  constructor(readonly report: ErrorReport) {
    super(`${report.summary} (${JSON.stringify(report)})`);
  }
}

const never = new Promise<never>(() => {});

/** What is stored, and what tabs tell each other: a profile of a browser. */
export class PageBrowser {
  readonly files = new MemoryFiles();
  readonly locks = new Locks();
  readonly database = new IDBFactory();
  readonly channels = new Set<Channel>();

  async open(): Promise<Tab> {
    const tab = new Tab(this);
    await tab.start();
    return tab;
  }
}

/** One end of a BroadcastChannel: it hears what the others say, and not itself. */
class Channel {
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(
    private readonly all: Set<Channel>,
    private readonly name: string,
  ) {
    all.add(this);
  }

  postMessage(message: unknown): void {
    const data = structuredClone(message);
    for (const other of this.all)
      if (other !== this && other.name === this.name) setImmediate(() => other.onmessage?.({ data }));
  }
}

interface Planted {
  work: FileWork;
  path: RegExp;
  act: () => Promise<void>;
}

/** A tab's worker. */
export class Tab {
  /** What the worker has told so far. */
  readonly events: Event[] = [];
  private readonly planted = new Set<Planted>();
  private readonly waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  private readonly watching = new Set<() => void>();
  private readonly self: { onmessage?: (event: { data: unknown }) => void } & Record<string, unknown>;
  private readonly channels: Channel[] = [];
  private calls = 0;
  private hasEnded = false;

  constructor(private readonly browser: PageBrowser) {
    this.self = {
      name: `worker ${TABS.size}`,
      crossOriginIsolated: false,
      addEventListener: () => {},
      postMessage: (message: unknown) => this.hear(structuredClone(message)),
    };
  }

  async start(): Promise<void> {
    if (!isHooked) register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
    isHooked = true;
    const id = String(TABS.size);
    const { browser, channels } = this;
    TABS.set(id, {
      self: this.self,
      location: { href: WORKER },
      navigator: {
        locks: browser.locks.of(this),
        storage: { getDirectory: async () => browser.files.open((work, path) => this.pass(work, path)) },
        hardwareConcurrency: 2,
        userAgent: "Macintosh",
      },
      indexedDB: browser.database,
      BroadcastChannel: class extends Channel {
        constructor(name: string) {
          super(browser.channels, name);
          channels.push(this);
        }
      },
      fetch: async (url: string | URL) => new Response(await readFile(new URL(url))),
      isSecureContext: true,
      origin: "null",
      SharedArrayBuffer: undefined,
    });
    await import(`${WORKER}?tab=${id}`);
  }

  /** Calls a method of the worker. Throws CallFailed. */
  call<M extends keyof Api>(method: M, ...args: Parameters<Api[M]>): ReturnType<Api[M]> {
    const id = ++this.calls;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      // Files are taken as they are: Node clones them without their names.
      this.self.onmessage!({ data: { id, method, args } });
    }) as ReturnType<Api[M]>;
  }

  /** The report of a call that must fail. */
  async refused<M extends keyof Api>(method: M, ...args: Parameters<Api[M]>): Promise<ErrorReport> {
    const error = await (this.call(method, ...args) as Promise<unknown>).then(
      () => new Error(`${method} was not refused`),
      (error) => error,
    );
    if (error instanceof CallFailed) return error.report;
    throw error;
  }

  private hear(message: unknown): void {
    // The first one is the name of its build.
    if (this.hasEnded || typeof message === "string") return;
    const event = message as Answer | Event;
    if ("type" in event) this.events.push(event);
    else {
      const { resolve, reject } = this.waiting.get(event.id)!;
      if ("error" in event) reject(new CallFailed(event.error));
      else resolve(event.value as never);
    }
    for (const look of this.watching) look();
  }

  /** The first of the worker's events, from now on, of which `pick` makes something. */
  next<T>(pick: (event: Event) => T | undefined): Promise<T> {
    let seen = this.events.length;
    return new Promise((resolve) => {
      const look = () => {
        while (seen < this.events.length) {
          const found = pick(this.events[seen++]!);
          if (found === undefined) continue;
          this.watching.delete(look);
          return resolve(found);
        }
      };
      this.watching.add(look);
    });
  }

  /** The run, when the worker says that it is in one of these states. */
  reaches(id: string, ...states: PageRun["state"][]): Promise<PageRun> {
    return this.next((event) =>
      event.type === "run" && event.run.id === id && states.includes(event.run.state) ? event.run : undefined,
    );
  }

  /** The run that ends next, when another one can begin. */
  async ended(): Promise<PageRun> {
    const run = await this.next((event) =>
      event.type === "run" && /^(finished|failed|stopped|paused)$/.test(event.run.state) ? event.run : undefined,
    );
    await this.browser.locks.of(this).request("lowrank-training", () => {});
    await new Promise((resolve) => setImmediate(resolve));
    return run;
  }

  /** Starts a run or resumes one, and gives it when it has ended. */
  async train(...call: [PageSettings] | ["resume", string]): Promise<PageRun> {
    const ended = this.ended();
    if (call.length === 1) await this.call("start", call[0]);
    else await this.call("resume", call[1]);
    return ended;
  }

  /** The run as the list has it. */
  async listed(id: string): Promise<PageRun | undefined> {
    return (await this.call("runs")).find((run) => run.id === id);
  }

  /** The files of a zip that is downloaded, by their paths. */
  async download(id: string, what: Parameters<Api["download"]>[1]) {
    const { openZip } = await import("../../src/io/unzip.ts");
    const entries = await openZip(blobReader("the download", await this.call("download", id, what)));
    const files: Record<string, Uint8Array<ArrayBuffer>> = {};
    for (const [path, file] of entries) files[path] = await file.read(0, file.size);
    return files;
  }

  /** Makes the worker wait before this work; `reached` is resolved when it does. */
  hold(work: FileWork, path: RegExp): { reached: Promise<void>; release: () => void } {
    let reach = () => {};
    let release = () => {};
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    const act = async () => {
      reach();
      await released;
    };
    this.planted.add({ work, path, act });
    return { reached, release };
  }

  /** Makes this work fail so many times, or until the returned function is called. */
  fail(work: FileWork, path: RegExp, error: Error, times = Infinity): () => void {
    let failed = 0;
    const act = async () => {
      if (failed++ < times) throw error;
    };
    const planted: Planted = { work, path, act };
    this.planted.add(planted);
    return () => void this.planted.delete(planted);
  }

  private async pass(work: FileWork, path: string): Promise<void> {
    for (const one of this.planted) if (one.work === work && one.path.test(path)) await one.act();
    if (this.hasEnded) await never;
  }

  /** Ends the worker without a word: its files stay as they are, its locks are free. */
  end(): void {
    this.hasEnded = true;
    this.browser.locks.release(this);
    for (const channel of this.channels) this.browser.channels.delete(channel);
  }
}

/** A short run on what `openTiny` selects: evaluations before the first step, at step 4 and at the end, step 8. */
export const TINY_RUN: PageSettings = {
  data: "messages.csv",
  model: "tiny",
  device: "wasm",
  epochs: 2,
  evalEvery: 4,
  lr: 5e-3,
};

/** A file as a visitor selects it, in a folder or alone. */
export function pickedFile(path: string, content: BlobPart): File {
  const file = new File([content], path.split("/").at(-1)!);
  return Object.defineProperty(file, "webkitRelativePath", { value: path.includes("/") ? path : "" });
}

/** A tab with the tiny model in `folder` and a file of messages: what a visitor has selected. */
export async function openTiny(browser: PageBrowser, folder: string, csv = messages(24)): Promise<Tab> {
  const tab = await browser.open();
  await addTiny(tab, folder);
  await tab.call("pick", [pickedFile("messages.csv", csv)]);
  return tab;
}

/** Stores the model of a folder under its name, "tiny". */
export async function addTiny(tab: Tab, folder: string): Promise<string> {
  const files = ["config.json", "model.safetensors"].map(async (name) =>
    pickedFile(`tiny/${name}`, await readFile(`${folder}/${name}`)),
  );
  return tab.call("addModel", await Promise.all(files));
}
