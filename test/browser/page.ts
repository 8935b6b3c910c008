/** Actions of a visitor: selecting files, setting fields, training, downloading. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { unzipSync } from "fflate";
import type { Page, Worker } from "playwright-core";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";
import { DOWNLOADS, TIMEOUT_MS } from "./browser.ts";

/** A run of a moment on the CPU. */
export const SETTINGS = { device: "wasm", epochs: 2, evalEvery: 4, lr: 5e-3 };

/** Epochs of a run that a test stops, and holds meanwhile: its threads would take the time of what is tested. */
export const ENDLESS = 1000;

/** Selects "Your own file" with this file; the base model stays as it is. */
export async function pickFile(
  page: Page,
  content: string | Buffer = messages(40),
  name = "messages.csv",
): Promise<void> {
  // A page that starts has no model yet. Chosen, it does not follow the data.
  await page.locator("#model-report >> text=blocks").first().waitFor({ state: "attached" });
  if ((await page.inputValue("#model")) === "gpt2-micro") await page.selectOption("#model", "gpt2-micro");
  await page.check("input[name=source][value=file]");
  await page.setInputFiles("#file", { name, mimeType: "text/plain", buffer: Buffer.from(content as Buffer) });
}

/** Selects a tiny model, by default of random values, from its folder: runs of it take half of the time. */
export async function pickTinyModel(page: Page, directory = tinyModel(join(temporaryFolder(), "tiny"))): Promise<void> {
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", directory);
  await page.locator("#model-report >> text=2 blocks, 2 heads").waitFor({ state: "attached" });
}

/** Sets fields, including those under "More settings". */
export async function set(page: Page, values: Record<string, string | number>): Promise<void> {
  // Again, if the page moved under the pointer.
  while (!(await page.isVisible("#more-fields"))) await page.click("#advanced summary");
  for (const [key, value] of Object.entries(values)) {
    const field = page.locator(`#field-${key}`);
    const tag = await field.evaluate((element) => element.tagName);
    if (tag === "SELECT") await field.selectOption(String(value));
    else if (tag === "FIELDSET")
      for (const box of await field.locator("input").all())
        await box.setChecked(
          String(value)
            .split(",")
            .includes(await box.inputValue()),
        );
    else await field.fill(String(value));
  }
}

/** Starts a run when the button is enabled. */
export async function start(page: Page): Promise<void> {
  await page.click("#start:not([disabled])");
}

/** Starts a run on a file of 80 messages. */
export async function begin(page: Page, settings: Record<string, string | number>): Promise<void> {
  await pickFile(page);
  await set(page, settings);
  await start(page);
}

/** Trains on a file, and looks at figures, curves, result and a typed message. */
export async function trainOnFile(
  page: Page,
  settings: Record<string, string | number>,
  { computesOn, steps, evaluations }: { computesOn: string; steps: number; evaluations: number },
): Promise<void> {
  await pickFile(page, messages(20, ["ham", "spam", "ham", "ham"]));
  await page.waitForSelector("text=rows: 80 read");
  await page.waitForSelector("text=loss weighted by class");
  await set(page, settings);
  await start(page);
  await waitForState(page, "finished");
  assert.match(
    (await page.textContent("#status"))!,
    /^\d+ of 16 test messages right: too few to tell\. Always guessing ham: 12.*\. A word-count model: \d+.*\.$/,
  );
  assert.is(await page.locator("#answer .plot rect").count(), 6);
  await see(page, "result");
  assert.match((await page.textContent("#figures"))!, new RegExp(`Step${steps} of ${steps}.*${computesOn}`));
  assert.is(await page.locator("#curve-table tbody tr").count(), evaluations);
  assert.is(await page.locator("#outcome .confusion tbody tr").count(), 2);
  const outcome = (await page.textContent("#outcome"))!;
  for (const piece of [
    /Macro F1 before/,
    /This run against it/,
    /TF-IDF, logistic regression \(C \d+\)\d.*\(p [=<] [\d.]+\)/,
    /Classes of the test set, with 95 % intervals/,
    /The test set has only 16 rows: the accuracy is a rough guess /,
  ])
    assert.match(outcome, piece);
  await see(page, "try");
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned >> text=spam");
}

export async function openLearned(page: Page): Promise<void> {
  await see(page, "learned");
  await page.waitForSelector("#learned-body");
}

/** Chooses what to see of the shown run. */
export async function see(page: Page, view: "try" | "write" | "result" | "learned" | "take"): Promise<void> {
  // By the keyboard: what has just come may move it under the pointer.
  await page.locator(`#views input[value=${view}]`).press("Space");
  await page.waitForSelector(`#${view === "result" ? "outcome" : view}:not([hidden])`);
}

/** Waits until the selected run is in a state; fails at once if the run has failed. */
export async function waitForState(page: Page, state: string): Promise<void> {
  const wanted = `#training[data-state=${state}], #training[data-state=failed]`;
  await page.waitForSelector(wanted).catch(async (cause) => {
    const shown = await page.locator("#training, #runs").allInnerTexts();
    throw new Error(`not ${state}: ${await page.getAttribute("#training", "data-state")}\n${shown.join("\n")}`, {
      cause,
    });
  });
  const found = await page.getAttribute("#training", "data-state");
  if (found !== state) throw new Error(`${found}: ${await page.textContent("#run-error")}`);
}

/** Waits until the selected run has taken `step` steps. */
export async function waitForStep(page: Page, step: number): Promise<void> {
  await page.waitForFunction((n) => document.querySelector<HTMLProgressElement>("#progress")!.value >= n, step);
}

/**
 * Presses a button or reloads once the run has taken `step` steps, and waits until it no longer trains or the page is
 * loaded. Code in the page does it, because a test on a busy machine would be too late for runs of one or two seconds.
 * The page may be late too, and the run goes on while it reloads: `holdCheckpoint` keeps the run from its end.
 */
export async function atStep(page: Page, step: number, act: "pause" | "stop" | "reload"): Promise<void> {
  const loaded = act === "reload" ? page.waitForEvent("load") : null;
  await page.evaluate(
    ({ step, act }) => {
      const training = document.querySelector<HTMLElement>("#training")!;
      const progress = document.querySelector<HTMLProgressElement>("#progress")!;
      const look = () => {
        if (training.dataset.state !== "training" || progress.value < step) return;
        observer.disconnect();
        training.dataset.acted = act;
        if (act === "reload") location.reload();
        else document.querySelector<HTMLButtonElement>(`#${act}`)!.click();
      };
      const observer = new MutationObserver(look);
      observer.observe(training, { subtree: true, attributes: true });
      setTimeout(look);
    },
    { step, act },
  );
  await (loaded ?? page.waitForSelector(`#training[data-acted=${act}]:not([data-state=training])`));
}

/** The page's worker. */
export async function pageWorker(page: Page): Promise<Worker> {
  return page.workers()[0] ?? page.waitForEvent("worker");
}

/**
 * Makes the page's worker wait before it writes the checkpoint of `step`, or what was learned, until the returned
 * function is called or the page is reloaded: the run cannot end before the test acts, however slow the page is. Only
 * for runs that begin afterwards.
 */
export async function holdCheckpoint(page: Page, step: number | "end"): Promise<() => Promise<void>> {
  const worker = await pageWorker(page);
  await worker.evaluate((step) => {
    const { createWritable } = FileSystemFileHandle.prototype;
    const released = new Promise<void>((release) => Object.assign(self, { release }));
    let reach = () => {};
    Object.assign(self, { held: new Promise<void>((resolve) => (reach = resolve)) });
    const isHeld = (name: string) =>
      step === "end"
        ? name.startsWith("adapter_model")
        : name.startsWith("step-") && parseInt(name.slice(5), 10) === step;
    FileSystemFileHandle.prototype.createWritable = async function (options) {
      if (isHeld(this.name)) {
        reach();
        await released;
      }
      return createWritable.call(this, options);
    };
  }, step);
  return () => worker.evaluate(() => (self as unknown as { release(): void }).release());
}

/** Ends the page's worker without a word when it waits in `holdCheckpoint`, as a browser ends one that lacks memory. */
export async function endWorker(page: Page): Promise<void> {
  const worker = await pageWorker(page);
  await worker.evaluate(() => (self as unknown as { held: Promise<void> }).held);
  // This call is answered before.
  await worker.evaluate(() => void setTimeout(() => self.close()));
}

/** From the next load on, the page records every state that it shows, with its step. */
export async function keepStates(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const states: ShownState[] = [];
    Object.assign(window, { states });
    document.addEventListener("DOMContentLoaded", () => {
      const training = document.querySelector<HTMLElement>("#training")!;
      const look = () => {
        const { state } = training.dataset;
        const { value: step } = document.querySelector<HTMLProgressElement>("#progress")!;
        if (state !== undefined) states.push({ state, step });
      };
      new MutationObserver(look).observe(training, { attributeFilter: ["data-state"] });
    });
  });
}

/** The states that `keepStates` has recorded since the page was loaded. */
export async function recordedStates(page: Page): Promise<ShownState[]> {
  return page.evaluate(() => (window as unknown as { states: ShownState[] }).states);
}

interface ShownState {
  state: string;
  step: number;
}

/** A file that was downloaded, and what is read of it. */
interface Downloaded<T> {
  bytes: Buffer;
  content: T;
}

/**
 * What `act` downloads, as soon as `read` makes something of it: a file that is not whole gives null, or throws. Throws
 * what the page says instead. On a busy machine Playwright now and then misses the beginning of a download, or its end,
 * and waits for ever: the file is there all the same.
 */
export async function downloaded<T>(
  page: Page,
  act: () => Promise<void>,
  read: (bytes: Uint8Array) => T | null,
): Promise<Downloaded<T>> {
  const before = new Set(readdirSync(DOWNLOADS));
  await act();
  const deadline = Date.now() + TIMEOUT_MS;
  while (Date.now() < deadline) {
    for (const name of readdirSync(DOWNLOADS).filter((name) => !before.has(name))) {
      // The browser may rename a file when it is whole.
      const found = whole(() => {
        const bytes = readFileSync(join(DOWNLOADS, name));
        const content = read(bytes);
        return content === null ? null : { bytes, content };
      });
      if (found) return found;
    }
    if (await page.isVisible("#runs-error .summary")) throw new Error((await page.textContent("#runs-error"))!);
    await page.waitForTimeout(50);
  }
  throw new Error("nothing was downloaded");
}

function whole<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** For `downloaded`: a text with this end; without one a short text, which is written at once. */
export const textTo = (end: string) => (bytes: Uint8Array) => {
  const text = new TextDecoder().decode(bytes);
  return text !== "" && text.endsWith(end) ? text : null;
};

/** The files that a button downloads, by their path in the zip. */
export async function download(
  page: Page,
  button: string,
): Promise<{ bytes: Buffer; files: Record<string, Uint8Array> }> {
  const { bytes, content } = await downloaded(page, () => page.click(button), unzipSync);
  return { bytes, files: content };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Throws unless axe-core finds nothing. */
export async function assertAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(options: object): Promise<{ violations: Violation[] }> } };
    return (await axe.run({ resultTypes: ["violations"] })).violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`,
    );
  });
  assert.equal(found, []);
}

interface Violation {
  id: string;
  nodes: { html: string }[];
}

/** Throws if a part is wider than its card, or a card than the page, on wide and narrow screens. Tables may scroll. */
export async function assertFits(page: Page): Promise<void> {
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    const wide = await page.evaluate(() => {
      const { clientWidth } = document.documentElement;
      const parts = [...document.querySelectorAll<HTMLElement>("main .card, main .card > *, main .scroll")];
      const limit = (part: HTMLElement) =>
        part.parentElement!.closest(".card")?.getBoundingClientRect().right ?? clientWidth;
      const over = parts.filter((part) => part.getBoundingClientRect().right > limit(part) + 1);
      return [document.documentElement.scrollWidth, ...over.map(({ outerHTML }) => outerHTML.slice(0, 80))];
    });
    assert.equal(wide, [width]);
  }
}

/** Drops a file on the page. */
export async function dropFile(page: Page, name: string, bytes: Uint8Array): Promise<void> {
  const dataTransfer = await page.evaluateHandle(
    ([name, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name));
      return transfer;
    },
    [name, Buffer.from(bytes).toString("base64")] as const,
  );
  await page.dispatchEvent("main", "drop", { dataTransfer });
}
