/** Commands on a graphics card that fails: each ends soon, with exit code 1 and an error of ours. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertCode, type Finished, runCommand } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(12));
const MODEL = ["--model", "model", "--device", "webgpu", "--threads", "1"];
const GENERATE = [...MODEL, "--max-new-tokens", "40", "hello"];
const TRAIN = [...MODEL, "--data", "messages.csv", "--batch-size", "4", "--epochs", "1", "--out"];
const STEP = ["step", "--device", "webgpu", "--data", "messages.csv", "--batch-size", "2", "--steps", "2"];

/** How it fails, and what the error says of it. */
const FAULTS = {
  silent: /^DeviceError: the device was lost\n {2}found: {4}no answer/m,
  throwing: /^DeviceError: .*\n {2}found: {4}Error: planted/m,
  lost: /^DeviceError: the device was lost/m,
  lying: /^DeviceError: (a planted card computes wrongly|the device chose a token)|^TrainingError: .* is not finite/m,
};
type Fault = keyof typeof FAULTS;

/** The address of a module that plants a card: see there. */
function planted(cache: string, more: Record<string, string>): string {
  const { href } = pathToFileURL(packagePath("test/helpers/planted-gpu.mjs"));
  return `${href}?${new URLSearchParams({ cache: join(folder, cache), ...more })}`;
}

function assertFailed(fault: Fault, finished: Finished, where: string): void {
  assertCode(finished, 1);
  assert.match(finished.stderr, FAULTS[fault], where);
  // Of our errors no stack is printed.
  assert.not.match(finished.stderr, /^ +at /m, where);
}

test("a card that is silent, throws or is lost while it is checked ends the command", async () => {
  const { setInterval } = globalThis;
  for (const fault of ["silent", "throwing", "lost"] as const) {
    await import(planted("quick", { fault, at: "pipeline", seconds: "1000" }));
    const finished = await runCommand("generate", GENERATE, { cwd: folder }).finally(() => {
      globalThis.setInterval = setInterval;
      Reflect.deleteProperty(globalThis, "navigator");
    });
    assertFailed(fault, finished, fault);
  }
});

/** A command in a process of its own, on a card; it is killed after 100 s. */
function onCard(card: string, name: "train" | "generate" | "bench", args: readonly string[]): Promise<Finished> {
  const end = Date.now() + 100_000;
  return runCommand(name, args, { cwd: folder, node: ["--import", card], killWhen: () => Date.now() > end });
}

testAll("a card that fails in its check, while timed, in training or generation ends the command in time", async () => {
  // What works has been found right, for those that fail later.
  assertCode(await onCard(planted("warm", {}), "train", [...TRAIN, "works"]), 0);
  assertCode(await onCard(planted("warm", {}), "generate", GENERATE), 0);
  const fails = (fault: Fault) => {
    const card = (cache: string, more: Record<string, string>) => planted(cache, { fault, ...more });
    const train = (phase: string, module: string) => onCard(module, "train", [...TRAIN, `${fault} ${phase}`]);
    const phases = {
      check: () => train("check", card(`cold ${fault}`, { features: "", at: "submit", count: "8" })),
      // A clock that lies is no failure.
      ...(fault === "lying"
        ? {}
        : { timing: () => onCard(card(`timed ${fault}`, { at: "read timestamps" }), "bench", STEP) }),
      training: () => train("training", card("warm", { at: "submit", count: "12" })),
      generation: () => onCard(card("warm", { at: "submit", count: "10" }), "generate", GENERATE),
    };
    return Object.entries(phases).map(
      ([phase, run]) =>
        async () =>
          assertFailed(fault, await run(), `${fault}, ${phase}`),
    );
  };
  const { silent: _, ...others } = FAULTS;
  // They wait for most of their time.
  const silent = Promise.all(fails("silent").map((run) => run()));
  for (const fault of Object.keys(others) as Fault[]) for (const run of fails(fault)) await run();
  await silent;
});
