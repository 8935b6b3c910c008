/** Runs that go from the page to Node, and back: each ends with the bits of one that stayed where it began. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { zipSync } from "fflate";
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { assertSameFiles, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, filesIn, runCommand, type SpawnOptions } from "../helpers/spawn.ts";
import { messages } from "../helpers/tiny.ts";
import { freshPage } from "./browser.ts";
import {
  assertAccessible,
  atStep,
  download,
  dropFile,
  holdCheckpoint,
  pickFile,
  set,
  start,
  waitForState,
} from "./page.ts";

type Files = Record<string, Uint8Array>;

/** The files of an adapter by name, without the README of a download. */
function adapterIn(files: Files): Files {
  const names = Object.keys(files).filter((path) => /(^|\/)adapter\/(?!README)/.test(path));
  return Object.fromEntries(names.map((path) => [path.replace(/^.*\//, ""), files[path]!]).sort());
}

function filesOf(directory: string): Files {
  return Object.fromEntries(
    filesIn(directory).map((path) => [path, new Uint8Array(readFileSync(join(directory, path)))]),
  );
}

const openZip = (page: Page, files: Files) =>
  page.setInputFiles("#adapter-files", {
    name: "run.zip",
    mimeType: "application/zip",
    buffer: Buffer.from(zipSync(files, { level: 0 })),
  });

const dropZip = (page: Page, files: Files) => dropFile(page, "run.zip", zipSync(files, { level: 0 }));

/** Trains in the page, and stops before the second evaluation. Returns the files. */
async function stopEarly(page: Page): Promise<Files> {
  const release = await holdCheckpoint(page, 8);
  await set(page, { device: "wasm", epochs: 4, evalEvery: 8, lr: 5e-3 });
  await start(page);
  await page.waitForSelector("#training:not([data-state=finished])");
  await atStep(page, 2, "stop");
  await release();
  await waitForState(page, "stopped");
  return (await download(page, "tr[aria-current] >> text=Files")).files;
}

/** Resumes a run in the page, and its files in Node: the same adapter comes of both. Returns the directory in Node. */
async function resumeInBoth(page: Page, files: Files): Promise<{ folder: string; run: string }> {
  await page.click("#resume");
  await waitForState(page, "finished");
  const stayed = (await download(page, "tr[aria-current] >> text=Files")).files;
  const folder = temporaryFolder();
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  const [run] = Object.keys(files)[0]!.split("/") as [string];
  assertCode(await runCommand("train", ["--resume", run], { cwd: folder }), 0);
  const inNode = filesOf(join(folder, run));
  assert.equal(adapterIn(inNode), adapterIn(stayed));
  assert.ok("adapter_model.safetensors" in adapterIn(inNode));
  assert.equal(inNode["predictions.csv"], stayed[`${run}/predictions.csv`]);
  return { folder, run };
}

test("a run that was stopped in the page goes on in Node: with its file, its checkpoint and the adapter that it began with", async () => {
  const { page, faults, context } = await freshPage();
  await pickFile(page);
  const { folder, run } = await resumeInBoth(page, await stopEarly(page));
  assertCode(await runCommand("classify", ["--run", run, "you have won"], { cwd: folder }), 0);
  assertCode(await runCommand("export", ["--run", run, "--to", "peft", "--out", "exported"], { cwd: folder }), 0);

  // Back in the page it is finished, with its results.
  await openZip(page, filesOf(join(folder, run)));
  await page.locator("#runs tbody tr >> nth=1").waitFor();
  await waitForState(page, "finished");
  assert.match((await page.textContent("#status"))!, "test messages correct");
  assert.ok(await page.isVisible("#learned"));

  await page.selectOption("#beginning", { index: 1 });
  await resumeInBoth(page, await stopEarly(page));
  assert.match((await page.textContent("#runs tbody"))!, "from LoRA, rank 8, alpha 16");
  assert.equal(faults, []);
  await context.close();
});

test("a run that was stopped in Node goes on in the page, with a file of the same name", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "messages.csv"), messages(40));
  const train = (out: string, watch?: SpawnOptions["watch"]) =>
    runCommand(
      "train",
      [
        "messages.csv",
        "--model",
        "gpt2-micro",
        "--device",
        "wasm",
        "--epochs",
        "10",
        "--rank",
        "2",
        "--eval-every",
        "100",
        "--json",
        "--out",
        out,
      ],
      { cwd: folder, ...(watch ? { watch } : {}) },
    );
  assertCode(await train("straight"), 0);
  const stopped = await train("stopped", (stdout, kill) => stdout.includes('"type":"step"') && kill("SIGINT"));
  assertCode(stopped, 130);

  const { page, faults, context } = await freshPage();
  await dropZip(page, filesOf(join(folder, "stopped")));
  await waitForState(page, "stopped");
  assert.is(await page.locator("#curve-table tbody tr").count(), 1);
  assert.match((await page.textContent("#runs tbody"))!, /messages.csv: LoRA, rank 2.*gpt2-micro/);
  await assertAccessible(page);
  await page.click("#resume");
  await page.locator("#runs-error >> text=/The data of this run is not stored here.*messages.csv/").waitFor();
  await pickFile(page, messages(39));
  await page.waitForSelector("#start:not([disabled])");
  await page.click("#resume");
  await page.locator("#runs-error >> text=The data has changed since this run began").waitFor();
  await pickFile(page);
  await page.waitForSelector("#start:not([disabled])");
  await page.click("#resume");
  await waitForState(page, "finished");
  const { files } = await download(page, "tr[aria-current] >> text=Adapter");
  assertSameFiles(adapterIn(files), adapterIn(filesOf(join(folder, "straight"))));
  assert.equal(faults, []);
  await context.close();
});
