/** A page on one origin with the library on another, as on a CDN. */
import type { Page } from "playwright-core";
import { packagePath } from "#platform";
import type * as Data from "../../src/entries/data.ts";
import type * as Engine from "../../src/entries/engine.ts";
import type * as Lowrank from "../../src/index.ts";
import { messages } from "../helpers/tiny.ts";
import { plainServer } from "./browser.ts";

/** What lets a page share memory between threads. */
export const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Serves the package from an origin of its own to pages of all others; returns its address. */
export async function packageServer(): Promise<string> {
  return (await plainServer(packagePath("."), { "Access-Control-Allow-Origin": "*" })).url;
}

/** The address of a page of another origin that runs no code. */
export async function pageWith(headers: Record<string, string>): Promise<string> {
  return `${(await plainServer(packagePath("data"), headers)).url}/models/gpt2-micro/config.json`;
}

/** Trains for one step with the library at `url`, with all else from `files` where it is given, and classifies. */
export function trainFrom(
  page: Page,
  url: string,
  files?: string,
): Promise<{ device: Engine.DeviceInfo; logits: number[] }> {
  return page.evaluate(
    async ([url, files, csv]) => {
      const [root, ofData, engine] = await Promise.all(
        ["index", "data", "engine"].map((entry) => import(`${url}/dist/browser/${entry}.js`)),
      );
      const lowrank: typeof Lowrank & typeof Data & typeof Engine = { ...root, ...ofData, ...engine };
      if (files !== undefined) lowrank.setPackageUrl(files);
      lowrank.registerFile("messages.csv", new Blob([csv]));
      const device = await lowrank.openDevice("wasm", { threads: 2 });
      const model = await lowrank.loadModel("gpt2-micro");
      const data = await lowrank.loadDataset({ file: "messages.csv" }, { maxLength: 32 });
      const run = await lowrank.fineTune({ device, model, data, batchSize: 8, epochs: 1, seed: 5 });
      await run.save("run", { force: true });
      const classifier = await lowrank.Classifier.load("run", { device });
      return { device: device.info, logits: [...(await classifier.logits(["you have won a prize", "see you"]))] };
    },
    [url, files, messages(12)] as const,
  );
}
