/**
 * Runs the tests: bundles them, runs each file in a process of its own, and fails unless every file says how many tests
 * it declared, that all of them ran, and that none failed. `node test/run.mjs [PART-OF-A-FILE-NAME...]`
 */
import { spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { findChromium } from "../src/tools/chromium.mjs";

const JOBS = 2;
const CHROMIUM = findChromium() ?? "";
const FILE_TIMEOUT_MS = 15 * 60_000;
const built = spawnSync(process.execPath, ["src/tools/build.mjs", "--tests"], { stdio: "inherit" });
if (built.status !== 0) process.exit(1);

const wanted = process.argv.slice(2);
const files = readdirSync("build/test", { recursive: true })
  .map(String)
  .filter((f) => f.endsWith(".test.js") && (wanted.length === 0 || wanted.some((w) => f.includes(w))))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(" ") || "test/**/*.test.ts"}`);
  process.exit(1);
}

function runFile(file) {
  return new Promise((done) => {
    const started = Date.now();
    const child = spawn(process.execPath, ["--enable-source-maps", join("build/test", file)], {
      // No test fetches anything but from a server of its own.
      env: { ...process.env, CHROMIUM, FORCE_COLOR: "0", HF_HUB_OFFLINE: "1", HF_HOME: resolve("build/test/no-hub") },
      timeout: FILE_TIMEOUT_MS,
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (code, signal) => {
      const line = output.match(/^@harness (.*)$/m);
      const report = line ? JSON.parse(line[1]) : null;
      const faults = [];
      if (code !== 0) faults.push(signal ? `killed by ${signal}` : `exit code ${code}`);
      if (!report) faults.push("did not report its tests");
      else if (report.declared === 0 && report.skipped.length === 0) faults.push("declares no tests");
      else if (report.finished !== report.declared)
        faults.push(`${report.finished} of ${report.declared} tests passed`);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      const name = file.replace(/\.js$/, ".ts");
      console.log(`${faults.length ? "FAIL" : "ok  "} ${name}  ${report?.finished ?? 0} tests, ${seconds} s`);
      for (const skip of report?.skipped ?? []) console.log(`     skipped: ${skip}`);
      if (faults.length) console.log(`${output.replace(/^@harness.*$/m, "").trim()}\n     ${faults.join("; ")}`);
      done({ faults: faults.length, tests: report?.finished ?? 0, skipped: report?.skipped.length ?? 0 });
    });
  });
}

const queue = [...files];
const results = [];
await Promise.all(
  Array.from({ length: JOBS }, async () => {
    while (queue.length) results.push(await runFile(queue.shift()));
  }),
);
const sum = (key) => results.reduce((total, r) => total + r[key], 0);
const bad = results.filter((r) => r.faults).length;
console.log(`\n${files.length} files, ${sum("tests")} tests passed, ${sum("skipped")} skipped, ${bad} files failed`);
process.exit(bad ? 1 : 0);
