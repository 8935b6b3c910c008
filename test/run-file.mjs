/** Runs one bundled test file in a process of its own and judges what it says of its tests. */
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { findChromium, findFirefox } from "../src/tools/browsers.mjs";

const BROWSERS = { CHROMIUM: findChromium() ?? "", FIREFOX: findFirefox() ?? "" };

const NODE = { program: process.execPath, args: ["--enable-source-maps"] };

/**
 * Runs build/test/<file> of the project in `root`, at most `timeout` milliseconds. `children`, where given, holds the
 * process while it runs, which then leads a process group of its own, so that all that it started can be ended.
 */
export function runFile(file, { root = ".", timeout, env = {}, children, runtime = NODE }) {
  return new Promise((done) => {
    const started = Date.now();
    const child = spawn(runtime.program, [...runtime.args, join("build/test", file)], {
      cwd: root,
      // No test fetches anything but from a server of its own.
      env: {
        ...process.env,
        ...BROWSERS,
        FORCE_COLOR: "0",
        HF_HUB_OFFLINE: "1",
        HF_HOME: resolve(root, "build/test/no-hub"),
        ...env,
      },
      detached: children !== undefined,
    });
    children?.add(child);
    const timer = setTimeout(() => endChild(child, children), timeout);
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (children) endChild(child, children);
      children?.delete(child);
      const line = output.match(/^@harness (.*)$/m);
      const report = line ? JSON.parse(line[1]) : null;
      const faults = [];
      if (code !== 0) faults.push(signal ? `killed by ${signal}` : `exit code ${code}`);
      if (!report) faults.push("did not report its tests");
      else if (report.declared + report.left + report.skipped.length === 0) faults.push("declares no tests");
      else if (report.finished !== report.declared)
        faults.push(`${report.finished} of ${report.declared} tests passed`);
      done({ faults, report, output, seconds: (Date.now() - started) / 1000 });
    });
  });
}

/** Ends a test's process; with `children`, its whole group. */
export function endChild(child, children) {
  try {
    process.kill(children ? -child.pid : child.pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
