/** "Use it in your app": what can be downloaded of a run, and the code that uses it. */
import type { Usage } from "../../run/usage.ts";
import { hasAdapter, type PageRun, type Takeable, type TakeReport } from "../protocol.ts";
import { failureReport, type WorkerClient } from "./client.ts";
import { byId, h, offerFile, scrollArea, setText } from "./dom.ts";
import { showError } from "./notice.ts";

const NAMES = {
  page: (id: string) => `classifier-${id}.html`,
  adapter: (id: string) => `adapter-${id}.zip`,
  run: (id: string) => `lowrank-run-${id}.zip`,
} satisfies Record<Takeable, (id: string) => string>;

/** Downloads a part of a run. */
export async function download(client: WorkerClient, { id }: PageRun, what: Takeable): Promise<void> {
  offerFile(await client.download(id, what), NAMES[what](id));
}

export class TakePanel {
  /** The run that is described, and its state. */
  private shown = "";

  constructor(private readonly client: WorkerClient) {}

  use(run: PageRun | null): void {
    const usable = run && hasAdapter(run) ? run : null;
    const key = usable ? `${usable.id} ${usable.state}` : "";
    if (key === this.shown) return;
    this.shown = key;
    byId("take").hidden = true;
    if (usable) void this.load(usable, key);
  }

  private async load(run: PageRun, key: string): Promise<void> {
    const report = await this.client.take(run.id).catch(failureReport);
    if (key !== this.shown) return;
    setText(byId("take-status"), "");
    const failed = "summary" in report;
    showError(byId("take-error"), failed ? report : null);
    byId("take-body").replaceChildren(...(failed ? [] : this.content(run, report)));
    byId("take").hidden = false;
  }

  private content(run: PageRun, { page, adapterBytes, runBytes, usages }: TakeReport): HTMLElement[] {
    const inPeft = usages.at(-1)!.code !== null;
    return [
      h(
        "ul",
        { class: "downloads" },
        page && "bytes" in page
          ? this.offer(
              run,
              "page",
              "One HTML file",
              page.bytes,
              "Opens with a double click and classifies: no server, no network.",
            )
          : null,
        page && "refused" in page ? h("li", {}, `One HTML file: ${page.refused}`) : null,
        this.offer(
          run,
          "adapter",
          "Adapter",
          adapterBytes,
          `${inPeft ? "In PEFT's format" : "For Lowrank alone"}, with a README.`,
        ),
        runBytes === null
          ? null
          : this.offer(
              run,
              "run",
              "All files",
              runBytes,
              "The adapter, the settings, and tables of losses and predictions.",
            ),
      ),
      h("p", { class: "help" }, "Code that uses the unpacked adapter:"),
      ...usages.map((usage) => this.code(usage)),
    ];
  }

  private offer(run: PageRun, what: Takeable, name: string, bytes: number, about: string): HTMLElement {
    const button = h("button", { type: "button", "data-take": what }, name);
    button.addEventListener("click", async () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      // Not `disabled`, which would lose the focus.
      button.setAttribute("aria-disabled", "true");
      setText(byId("take-status"), "Preparing the file");
      const failed = await download(this.client, run, what).then(() => null, failureReport);
      button.removeAttribute("aria-disabled");
      setText(byId("take-status"), "");
      showError(byId("take-error"), failed);
    });
    return h("li", {}, button, h("span", {}, h("strong", {}, megabytes(bytes)), ` ${about}`));
  }

  private code({ title, text, code }: Usage): HTMLElement {
    if (code === null) return h("details", {}, h("summary", {}, title), h("p", {}, text));
    const copy = h("button", { type: "button" }, "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code);
      setText(byId("take-status"), `Copied: ${title}`);
    });
    return h(
      "details",
      { name: "usage" },
      h("summary", {}, title),
      h("p", { class: "help" }, text),
      scrollArea(`Code: ${title}`, h("pre", {}, h("code", {}, code))),
      copy,
    );
  }
}

/** "20.6 MB", "0.05 MB" */
function megabytes(bytes: number): string {
  const value = bytes / 1e6;
  return `${value.toFixed(value < 0.1 ? 2 : 1)}\u00a0MB`;
}
