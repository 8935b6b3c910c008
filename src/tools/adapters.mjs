/**
 * Trains the adapters of data/adapters/, with which the page answers before anything is trained. Run by hand after
 * `npm run build`: it takes some minutes each, and data/README.md has what it made.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Small: the page loads them. All else is the default. */
const SETTINGS = ["--model", "gpt2-micro", "--rank", "2", "--alpha", "4", "--eval-every", "400", "--device", "wasm"];
const DATASETS = { spam: ["--epochs", "2"], languages: [] };

for (const [name, own] of Object.entries(DATASETS)) {
  const run = join(mkdtempSync(join(tmpdir(), "lowrank-")), name);
  const flags = ["--dataset", name, ...SETTINGS, ...own, "--out", run];
  const { status } = spawnSync(process.execPath, ["dist/train.js", ...flags], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
  cpSync(join(run, "adapter"), join("data/adapters", name), { recursive: true });
  rmSync(run, { recursive: true });
}
