/**
 * A sweep past one machine, by the files in src/study/cluster. `npm run test:cluster`. The Kubernetes manifest is
 * checked against the published schema, which is installed into build/cluster the first time. The sbatch file runs on a
 * Slurm of one node, started here where it is installed: one task is told that its time is over, one is requeued, one
 * is killed; then all is as on one machine, to the bit.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { installTools, messages, must } from "../helpers/packed.mjs";
import { checkManifest } from "./manifest.mjs";
import { missingDaemons, startSlurm, until } from "./slurm.mjs";

const files = resolve("src/study/cluster");
const lowrank = resolve("dist/lowrank.js");
/** Four trials of some seconds, in which each saves a checkpoint, on the engine that every machine has. */
const SWEEP = ["--grid", "alpha=4,8", "--seeds", "2", "--rank", "2", "--data", "messages.csv", "--epochs", "150"];
const FLAGS = [...SWEEP, "--batch-size", "4", "--device", "wasm"];
const TRIALS = 4;
const PART_MS = 90_000;

function checkKubernetes() {
  const home = resolve("build/cluster");
  installTools(resolve("test/cluster"), home);
  return checkManifest(join(files, "job.yaml"), home).join(" and ");
}

/** The sbatch file as a person fills it in, for two tasks of one core. */
function fillIn(folder) {
  let text = readFileSync(join(files, "sweep.sbatch"), "utf8");
  for (const [from, to] of [
    ["--array=0-3", "--array=0-1"],
    ["parts=4", "parts=2"],
    ["--cpus-per-task=4", "--cpus-per-task=1"],
    ["--mem=8G", "--mem=1G"],
    ["lowrank=REPLACE", `lowrank=${lowrank}`],
    ["out=REPLACE", `out=${join(folder, "shared")}`],
  ]) {
    if (!text.includes(from)) throw new Error(`sweep.sbatch does not have "${from}"`);
    text = text.replace(from, to);
  }
  writeFileSync(join(folder, "sweep.sbatch"), text);
}

/** All files of a sweep's trials and its tables by path, without times: numbers in JSON, columns of tables. */
function findings(out) {
  const found = new Map();
  const paths = readdirSync(out, { recursive: true }).map(String).sort();
  for (const path of paths.filter((one) => /^(trials|figures)\/[^.].*\.\w+$|\.(csv|md)$/.test(one))) {
    const content = readFileSync(join(out, path));
    const timed = /(run\.json|metrics[^/]*\.csv|settings\.csv|report\.(md|html))$/.test(path);
    found.set(path, timed ? withoutTimes(content.toString()) : content.toString("base64"));
  }
  return found;
}

/** Leaves out the times of a record and of a sentence, and the column of minutes or seconds in each table. */
function withoutTimes(text) {
  let column = -1;
  const lines = text
    .replaceAll(/"(seconds|created)": ?[\d.e+-]+|examples in [\d hmins]+|[\d hmins]+, including evaluation/g, "")
    .split(/\r?\n/);
  const rows = lines.map((line) => {
    const cells = line.split(line.startsWith("|") ? "|" : /,(?=(?:[^"]*"[^"]*")*[^"]*$)/);
    const header = cells.findIndex((cell) => /^(minutes|seconds)$/i.test(cell.trim()));
    if (header >= 0) column = header;
    // The rows of a table follow each other.
    else if (cells.length <= column) column = -1;
    if (column >= 0) cells[column] = "";
    return cells.join("|");
  });
  return rows.join("\n");
}

function sweep(folder, ...args) {
  return must(process.execPath, [lowrank, "sweep", ...FLAGS, ...args], { cwd: folder });
}

/** Throws unless the sweep in `out` has the trials and tables of the one in `expected`. */
function compare(out, expected) {
  const found = findings(out);
  const right = findings(expected);
  const names = new Set([...found.keys(), ...right.keys()]);
  const different = [...names].filter((path) => found.get(path) !== right.get(path));
  if (different.length > 0) throw new Error(`not as on one machine: ${different.join(", ")}`);
  const adapters = [...names].filter((path) => path.endsWith("adapter_model.safetensors"));
  if (adapters.length !== TRIALS) throw new Error(`${adapters.length} adapters of ${TRIALS} trials`);
  return names.size;
}

/** An array job of two tasks in `folder`, as a person steers it. */
function submit(slurm, folder, ...options) {
  const job = slurm
    .run("sbatch", "--parsable", `--chdir=${folder}`, ...options, join(folder, "sweep.sbatch"), ...FLAGS)
    .trim();
  const field = (task, name) =>
    new RegExp(`^\\s*(?:.* )?${name}=(\\S*)`, "m").exec(slurm.run("scontrol", "show", "job", `${job}_${task}`))?.[1];
  return {
    id: (task) => `${job}_${task}`,
    state: (task) => field(task, "JobState"),
    log: (task) => {
      const path = join(folder, `sweep-${job}_${task}.log`);
      return existsSync(path) ? readFileSync(path, "utf8") : "";
    },
    /** A requeued job waits two minutes by default. Seconds are enough: only in its last second the node refuses it. */
    async release(task) {
      await until(`${job}_${task} in the queue`, () => field(task, "JobState") === "PENDING", PART_MS);
      await sleep(3000);
      slurm.run("scontrol", "update", `JobId=${job}_${task}`, "StartTime=now");
    },
    async completed(task) {
      await until(
        `the end of ${job}_${task}`,
        () => !/PENDING|RUNNING|COMPLETING/.test(field(task, "JobState")),
        PART_MS,
      );
      if (field(task, "JobState") !== "COMPLETED") throw new Error(`${job}_${task} is ${field(task, "JobState")}`);
    },
  };
}

/** Whether the trial that a task says it runs has saved a checkpoint. */
function isSaved(shared, log, trial) {
  const [, alpha, seed] = new RegExp(`^trial ${trial} of .* alpha (\\d+), .* seed (\\d+)`, "m").exec(log) ?? [];
  const trials = join(shared, "trials");
  if (!alpha || !existsSync(trials)) return false;
  const name = readdirSync(trials).find((one) => one.startsWith(`lora-r2-a${alpha}-s${seed}-`));
  if (!name) return false;
  return readdirSync(join(trials, name), { recursive: true }).some((path) => /^checkpoint\/step-/.test(path));
}

/** Kills a task's sweep, not its script, as a machine that runs out of memory does. */
function killSweep(shared, task) {
  const read = (pid, name) => {
    try {
      return readFileSync(`/proc/${pid}/${name}`, "utf8").split("\0");
    } catch {
      return []; // it has ended
    }
  };
  const isSweep = (pid) => read(pid, "cmdline").at(1) === lowrank && read(pid, "cmdline").includes(shared);
  const isTask = (pid) => read(pid, "environ").includes(`SLURM_ARRAY_TASK_ID=${task}`);
  const found = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isSweep(pid) && isTask(pid));
  if (found.length !== 1) throw new Error(`${found.length} processes of task ${task}`);
  process.kill(Number(found[0]), "SIGKILL");
}

async function runArray(slurm, folder) {
  const shared = join(folder, "shared");
  const unfilled = spawnSync("bash", [join(files, "sweep.sbatch")], { encoding: "utf8" });
  if (unfilled.status !== 2 || !/replace the word REPLACE/.test(unfilled.stderr)) throw new Error(unfilled.stderr);
  const array = submit(slurm, folder);
  const saved = (task, trial) =>
    until(`trial ${trial} of task ${task}`, () => isSaved(shared, array.log(task), trial), PART_MS);
  const stops = (count) =>
    until("a checkpoint", () => array.log(0).split("stopping after a checkpoint").length > count, PART_MS);

  await Promise.all([saved(0, 1), saved(1, 1)]);
  killSweep(shared, 1);
  // What Slurm sends some minutes before the time limit: the file says so.
  slurm.run("scancel", "--signal=USR1", "--batch", array.id(0));
  await stops(1);
  await array.release(0);
  if (!/task 0 queues again/.test(array.log(0))) throw new Error(`no word of the time limit\n${array.log(0)}`);
  await until("the killed task's end", () => /FAILED|CANCELLED/.test(array.state(1)), PART_MS);
  const again = submit(slurm, folder, "--array=1");

  await saved(0, 2);
  slurm.run("scontrol", "requeue", array.id(0));
  await stops(2);
  await array.release(0);
  await Promise.all([array.completed(0), again.completed(1)]);
  return [array.log(0), array.log(1), again.log(1)];
}

async function checkSlurm(folder) {
  writeFileSync(join(folder, "messages.csv"), messages(40));
  fillIn(folder);
  sweep(folder, "--threads", "1", "--out", "single");
  chmodSync(folder, 0o711);
  const home = join(folder, "slurm");
  mkdirSync(home);
  const slurm = await startSlurm(home);
  try {
    const logs = await runArray(slurm, folder);
    const said = sweep(folder, "--out", "collected", "--collect", "shared");
    if (!said.includes(`${TRIALS} trials collected\n`)) throw new Error(said);
    const count = ["shared", "collected"].map((out) => compare(join(folder, out), join(folder, "single")))[0];
    return { count, logs, version: slurm.run("sinfo", "--version").trim() };
  } finally {
    await slurm.stop();
  }
}

/** Runs one check and says how it went; returns whether it passed. */
async function report(name, check) {
  try {
    console.log(`ok   ${name}: ${await check()}`);
    return true;
  } catch (error) {
    console.log(`FAIL ${name}\n${error.stack}`);
    return false;
  }
}

must(process.execPath, ["src/tools/build.mjs"]);
let passed = await report("Kubernetes", checkKubernetes);
const missing = missingDaemons();
if (missing.length > 0) {
  console.log(`skipped: Slurm: ${missing.join(", ")} not found; on Debian: apt-get install slurm-wlm munge`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "lowrank-cluster-"));
  passed =
    (await report("Slurm", async () => {
      const { count, logs, version } = await checkSlurm(folder);
      if (process.argv.includes("--logs")) console.log(logs.join("\n---\n"));
      return `${version}, ${count} files as on one machine`;
    })) && passed;
  rmSync(folder, { recursive: true, force: true });
}
process.exit(passed ? 0 : 1);
