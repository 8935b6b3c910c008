/**
 * Kills train, train --force, train --seeds, sweep, classify --in and export --force at random moments, half of them while files are
 * saved: when a temporary name has been seen for a random number of times. After each kill the old files or the new
 * ones are there, or a run that can be resumed, and the next command goes on to the bytes of a straight one:
 * `node test/kills.mjs [COUNT] [SEED] [PART OF A NAME]`, after `npm run build`.
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [count = 60, seed = 1] = process.argv.slice(2, 4).map(Number);
const [part = ""] = process.argv.slice(4);
const root = mkdtempSync(join(tmpdir(), "lowrank-kills-"));
const dist = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..", "dist");
let state = seed;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

/** Runs a command, and kills it once `isMoment`, which is asked again and again, says so. */
function run(folder, [name, ...args], isMoment) {
  const child = spawn(process.execPath, [join(dist, `${name}.js`), ...args], { cwd: folder, stdio: "pipe" });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  const timer = isMoment && setInterval(() => isMoment() && child.kill("SIGKILL"), 1);
  return new Promise((done) =>
    child.on("close", (code) => {
      clearInterval(timer);
      done({ code, said });
    }),
  );
}

/** After a random part of `took` milliseconds. */
function atTime(took) {
  const moment = performance.now() + took * random();
  return () => performance.now() > moment;
}

/** When a temporary name of ours has been seen for a random number of times. */
function whileSaving(folder) {
  let left = 1 + Math.floor(12 * random());
  const isOurs = (path) => /\.lowrank\.(tmp|old)/.test(path);
  return () => {
    try {
      return readdirSync(folder, { recursive: true }).some(isOurs) && --left === 0;
    } catch {
      return false; // a folder has gone while it was listed
    }
  };
}

async function succeed(folder, args) {
  const { code, said } = await run(folder, args);
  if (code !== 0) throw new Error(`${args.join(" ")}: exit code ${code}\n${said}`);
}

/** What must not depend on kills: adapters, weights, labelled rows. */
function result(folder, path) {
  const place = join(folder, path);
  if (!existsSync(place)) return "";
  if (
    !readdirSync(folder, { withFileTypes: true })
      .find(({ name }) => name === path)
      ?.isDirectory()
  )
    return readFileSync(place, "base64");
  const files = readdirSync(place, { recursive: true }).map(String).sort();
  const lasting = files.filter((file) => /(^|\/)adapter\/|predictions\.csv$|^[^/]*\.safetensors$/.test(file));
  const found = lasting.filter((file) => !/(^|\/)\./.test(file) && /\.(json|safetensors|csv)$/.test(file));
  return JSON.stringify(found.map((file) => [file, readFileSync(join(place, file), "base64")]));
}

const stateOf = (run) =>
  existsSync(join(run, "run.json")) ? JSON.parse(readFileSync(join(run, "run.json"), "utf8")).state : undefined;
const isOver = (run) => stateOf(run) === "finished";

const CPU = ["--device", "wasm", "--threads", "1"];
const MODEL = ["--model", "gpt2-micro", "--batch-size", "4", "--rank", "2", "--epochs", "2"];
const TRAIN = ["train", "messages.csv", ...MODEL, ...CPU, "--checkpoint-every", "3"];
const SEEDS = [...TRAIN, "--seeds", "2", "--out", "out"];
const SWEEP = [
  "sweep",
  "--data",
  "messages.csv",
  ...MODEL,
  ...CPU,
  "--grid",
  "alpha=2,4",
  "--seeds",
  "1",
  "--out",
  "out",
];
const LABEL = ["classify", "--run", "first", ...CPU, "--in", "rows.csv", "--out", "out.csv"];
const EXPORT = ["export", "--run", "first", "--force", "--out", "out", "--to"];

/** `again` is what a person runs after a kill, until the work is done. */
const SCENARIOS = {
  train: {
    target: "out",
    args: [...TRAIN, "--out", "out"],
    isResumable: (folder) => stateOf(join(folder, "out")) === "training",
    again: (folder) => {
      if (isOver(join(folder, "out"))) return null;
      return existsSync(join(folder, "out")) ? ["train", "--resume", "out", ...CPU] : [...TRAIN, "--out", "out"];
    },
  },
  "train --force": {
    target: "out",
    prepare: (folder) => cpSync(join(root, "first"), join(folder, "out"), { recursive: true }),
    args: [...TRAIN, "--seed", "2", "--force", "--out", "out"],
    again: (folder, isNew) => {
      if (stateOf(join(folder, "out.new"))) return ["train", "--resume", "out.new", ...CPU];
      return isNew ? null : SCENARIOS["train --force"].args;
    },
  },
  "train --seeds": {
    target: "out",
    args: SEEDS,
    isResumable: () => true,
    again: (folder) => (existsSync(join(folder, "out", "study.json")) ? ["train", "--resume", "out", ...CPU] : SEEDS),
  },
  sweep: {
    target: "out",
    args: SWEEP,
    isResumable: () => true,
    again: () => SWEEP,
  },
  "classify --in": {
    target: "out.csv",
    args: LABEL,
    again: (_, isNew) => (isNew ? null : LABEL),
  },
  "export --force": {
    target: "out",
    prepare: (folder) => cpSync(join(root, "exported"), join(folder, "out"), { recursive: true }),
    args: [...EXPORT, "merged"],
    again: (_, isNew) => (isNew ? null : [...EXPORT, "merged"]),
  },
};

/** What is done again and again: trials that are finished are not repeated. */
const STUDIES = ["train --seeds", "sweep"];

const lines = Array.from({ length: 30 }, (_, i) => [`ham,see you at ${i}`, `spam,you have won ${i} call now`]).flat();
const files = {
  "messages.csv": `label,text\n${lines.join("\n")}\n`,
  "rows.csv": `text\n${Array.from({ length: 300 }, (_, i) => `call ${i} to win or see you then`).join("\n")}\n`,
};
for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
await succeed(root, [...TRAIN, "--out", "first"]);
await succeed(root, [...EXPORT.with(5, "exported"), "peft"]);

const figures = {};
const names = Object.keys(SCENARIOS).filter((name) => name.includes(part));
try {
  for (const name of names) {
    const { target, args, prepare, isResumable, again } = SCENARIOS[name];
    const begin = (title) => {
      const folder = join(root, `${name} ${title}`);
      mkdirSync(folder);
      for (const entry of [...Object.keys(files), "first"])
        cpSync(join(root, entry), join(folder, entry), { recursive: true });
      writeFileSync(join(folder, "mine.txt"), "mine");
      prepare?.(folder);
      return folder;
    };
    const straight = begin("straight");
    const old = result(straight, target);
    const started = performance.now();
    await succeed(straight, args);
    const took = performance.now() - started;
    const wanted = result(straight, target);
    const end = readdirSync(straight).sort().join();
    const seen = { old: 0, new: 0, resumable: 0, "between two names": 0 };
    for (let i = 0; i < Math.ceil(count / names.length); i++) {
      const folder = begin(i);
      await run(folder, args, i % 2 ? whileSaving(folder) : atTime(took));
      const now = result(folder, target);
      const isBetween =
        !existsSync(join(folder, target)) && readdirSync(folder).some((entry) => entry.endsWith(".lowrank.old"));
      const what =
        now === wanted
          ? "new"
          : now === old
            ? "old"
            : isBetween
              ? "between two names"
              : isResumable?.(folder)
                ? "resumable"
                : null;
      if (what === null) throw new Error(`${name}, kill ${i}: neither old nor new: ${folder}`);
      seen[what]++;
      for (let next = again(folder, what === "new"), turns = 0; next; turns++) {
        await succeed(folder, next);
        next = turns < 3 && !STUDIES.includes(name) ? again(folder, result(folder, target) === wanted) : null;
      }
      if (result(folder, target) !== wanted) throw new Error(`${name}, kill ${i}: other bytes: ${folder}`);
      // Hidden ones are what a kill has left beside the directory until it is written again.
      const left = readdirSync(folder)
        .filter((entry) => !entry.startsWith("."))
        .sort();
      if (left.join() !== end) throw new Error(`${name}, kill ${i}: ${left} instead of ${end}: ${folder}`);
      rmSync(folder, { recursive: true });
    }
    figures[name] = { seconds: took / 1000, ...seen };
    console.log(name, JSON.stringify(figures[name]));
  }
  rmSync(root, { recursive: true });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
