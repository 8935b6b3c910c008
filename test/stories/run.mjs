/**
 * `npm run stories [-- PART OF A NAME...]`: does what people do with the program (stories.mjs) and says, by V8's coverage
 * and the source maps, what share of each room's code lines the ten main jobs run and all stories run, and how many code
 * lines a story alone runs: its price. Fails if a story does. On the CPU and in Node: the page and the devices have no
 * part in it.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { eachMapping, TraceMap } from "@jridgewell/trace-mapping";
import { transformSync } from "esbuild";
import { bundleProgram } from "../../src/tools/bundles.mjs";
import { FURTHER, MAIN } from "./stories.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(root);
/** The rooms that these stories can run: what Node does, without a graphics card. */
const ROOMS = [
  "tasks",
  "views",
  "study",
  "train",
  "export",
  "run",
  "learner",
  "infer",
  "commands",
  "classic",
  "data",
  "io",
];

const folder = mkdtempSync(join(tmpdir(), "lowrank-stories-"));
mkdirSync(join(folder, "node_modules"));
await bundleProgram("test/stories/files.child.ts", "build/test/stories/files.child.js");
const files = spawn(process.execPath, [resolve("build/test/stories/files.child.js")], {
  cwd: folder,
  stdio: ["pipe", "pipe", "inherit"],
});
const hub = await new Promise((done) => files.stdout.once("data", (text) => done(String(text).trim())));
const { mails, book } = JSON.parse(readFileSync(join(folder, "rows.json"), "utf8"));

/**
 * Runs a step to its end, or until Ctrl-C after its first training step. Returns its exit code and what it said. A step
 * that is to be refused has done well if its exit code is that of an error of ours.
 */
function runStep(step, coverage) {
  let command = step.script === undefined ? step.match(/"[^"]*"|\S+/g).map((word) => word.replaceAll('"', "")) : [];
  const sign = /^[!?]$/.test(command.at(-1)) ? command.pop() : "";
  const isStopped = sign === "!";
  if (isStopped) command = [...command, "--json"];
  const input = command.at(-2) === "<" ? readFileSync(join(folder, command.at(-1))) : "";
  if (command.at(-2) === "<") command = command.slice(0, -2);
  const [name, ...args] = command;
  const script = join(folder, "story.mjs");
  if (step.script !== undefined) {
    const built = { lowrank: "node", "lowrank/data": "data", "lowrank/engine": "engine" };
    const library = (name) => JSON.stringify(pathToFileURL(resolve(`dist/${built[name]}.js`)).href);
    const given = { MAILS: mails, BOOK: book, SITE: `${hub}/site` };
    const rows = Object.entries(given).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`);
    // Node 20 does not know `await using`.
    const { code } = transformSync(
      rows.join("") + step.script.replaceAll(/"(lowrank(\/\w+)?)"/g, (_, name) => library(name)),
      { target: "node20" },
    );
    writeFileSync(script, code);
  }
  const child = spawn(process.execPath, [name === undefined ? script : resolve(`dist/${name}.js`), ...args], {
    cwd: folder,
    env: {
      ...process.env,
      NODE_V8_COVERAGE: coverage,
      HF_ENDPOINT: hub,
      HF_HOME: join(folder, "home"),
      LOWRANK_CACHE: join(folder, "cache"),
    },
  });
  child.stdin.on("error", () => {}).end(input);
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => {
      said += text;
      if (isStopped && /"type":"step"/.test(said)) child.kill("SIGINT");
    });
  const isRight = (code) => (sign === "?" ? code > 0 && !/\n {4}at /.test(said) : code === 0);
  return new Promise((done) => child.on("close", (code) => done({ isOk: isStopped || isRight(code), code, said })));
}

/** Of a script of dist/: where its code comes from, by [source line, first offset, offset behind]. */
const scripts = new Map();
function readScript(path) {
  if (scripts.has(path)) return scripts.get(path);
  const text = readFileSync(path, "utf8");
  const starts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)];
  const places = [];
  if (existsSync(`${path}.map`))
    eachMapping(
      new TraceMap(readFileSync(`${path}.map`, "utf8")),
      ({ source, originalLine, generatedLine, generatedColumn }) => {
        const file = source && relative(root, resolve(dirname(path), source));
        if (file?.startsWith("src/"))
          places.push([`${file}:${originalLine}`, starts[generatedLine - 1] + generatedColumn]);
      },
    );
  const script = { places, length: text.length };
  scripts.set(path, script);
  return script;
}

/** The lines of src that ran, by the coverage files of a folder. */
function linesRun(coverage) {
  const lines = new Set();
  for (const file of readdirSync(coverage)) {
    for (const { url, functions } of JSON.parse(readFileSync(join(coverage, file), "utf8")).result) {
      if (!url.startsWith(pathToFileURL(resolve("dist")).href)) continue;
      const { places, length } = readScript(fileURLToPath(url));
      const counts = new Uint8Array(length);
      const ranges = functions.flatMap((one) => one.ranges);
      // An inner range is behind the one that it is in.
      ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
      for (const { startOffset, endOffset, count } of ranges) counts.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      for (const [line, offset] of places) if (counts[offset]) lines.add(line);
    }
  }
  return lines;
}

const wanted = process.argv.slice(2);
const isWanted = ([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part));
const results = [];
for (const story of [...MAIN, ...FURTHER].filter(isWanted)) {
  const [name, ...steps] = story;
  const coverage = join(folder, `coverage-${results.length}`);
  mkdirSync(coverage);
  const started = performance.now();
  for (const step of steps) {
    const { isOk, code, said } = await runStep(step, coverage);
    if (isOk) continue;
    process.exitCode = 1;
    console.log(
      `FAIL ${name}\n     ${step.script === undefined ? step : "its script"}: exit code ${code}\n${said.trim()}`,
    );
  }
  const lines = linesRun(coverage);
  rmSync(coverage, { recursive: true });
  results.push({ name, lines, seconds: (performance.now() - started) / 1000, isMain: MAIN.includes(story) });
}
files.stdin.end();
rmSync(folder, { recursive: true, force: true });

/** Every line of src that is in dist/, by its room. */
for (const name of readdirSync("dist")) if (name.endsWith(".js")) readScript(resolve("dist", name));
const all = new Set([...scripts.values()].flatMap(({ places }) => places.map(([line]) => line)));
const roomOf = (line) => line.split("/")[1];
const inRooms = [...all].filter((line) => ROOMS.includes(roomOf(line)));
const times = new Map();
for (const { lines } of results) for (const line of lines) times.set(line, (times.get(line) ?? 0) + 1);
const ofMain = new Set(results.filter(({ isMain }) => isMain).flatMap(({ lines }) => [...lines]));

console.log("\nseconds  code lines that it alone runs");
for (const { name, lines, seconds } of results) {
  const alone = [...lines].filter((line) => ROOMS.includes(roomOf(line)) && times.get(line) === 1).length;
  console.log(`${seconds.toFixed(1).padStart(7)}  ${String(alone).padStart(5)}  ${name}`);
}
const share = (lines, ran) => `${((100 * lines.filter((line) => ran.has(line)).length) / lines.length).toFixed(0)} %`;
console.log("\nroom        code lines    main     all");
const row = (name, lines) =>
  console.log(
    `${name.padEnd(12)}${String(lines.length).padStart(10)}${share(lines, ofMain).padStart(8)}${share(lines, times).padStart(8)}`,
  );
for (const room of ROOMS)
  row(
    room,
    inRooms.filter((line) => roomOf(line) === room),
  );
row("together", inRooms);
const UNRUN = "build/stories-unrun.txt";
writeFileSync(
  UNRUN,
  inRooms
    .filter((line) => !times.has(line))
    .sort()
    .join("\n"),
);
console.log(`\nThe lines that no story runs: ${UNRUN}`);
