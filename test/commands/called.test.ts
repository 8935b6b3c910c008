/** How hints name the commands, as this program was called, and what --help lists. */
import { join, sep } from "node:path";
import * as assert from "uvu/assert";
import { calledAs, shellWord } from "../../src/commands/called.ts";
import { isOffered, RUN_SETTINGS } from "../../src/train/settings.ts";
import { flagName } from "../../src/views/terminal/flag-words.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";

function calledBy(script: string, command?: string): string {
  const before = process.argv[1]!;
  process.argv[1] = script;
  try {
    return calledAs(command);
  } finally {
    process.argv[1] = before;
  }
}

test("a hint names a command as the program was called", () => {
  const here = process.cwd();
  for (const [script, expected] of [
    [join(here, "dist/train.js"), `node ${join("dist", "classify.js")}`],
    [join(here, "my copy/dist/train.js"), `node "${join("my copy", "dist", "classify.js")}"`],
    [`${here}2/dist/train.js`, `node ${here}2/dist/classify.js`],
    ["/elsewhere/dist/train.js", "node /elsewhere/dist/classify.js"],
    [join(here, "dist/lowrank.js"), `node ${join("dist", "lowrank.js")} classify`],
    ["/project/node_modules/.bin/lowrank", "npx lowrank classify"],
    ["/project/node_modules/lowrank/dist/lowrank.js", "npx lowrank classify"],
    ["C:\\project\\node_modules\\lowrank\\dist\\lowrank.js", "npx lowrank classify"],
    ["/usr/local/bin/lowrank", "lowrank classify"],
    ["/project/node_modules/lowrank/dist/train.js", "node /project/node_modules/lowrank/dist/classify.js"],
  ] as const)
    assert.is(calledBy(script, "classify"), expected, script);
  assert.is(calledBy("/project/node_modules/.bin/lowrank"), "npx lowrank");
  assert.is(calledBy(join(here, "dist/lowrank.js")), `node dist${sep}lowrank.js`);
  assert.is(calledBy(join(here, "dist/bench.js"), "dev bench"), `node ${join("dist", "bench.js")}`);
});

test("lowrank lists what people need, and lowrank dev what work on Lowrank needs", async () => {
  const listed = async (...args: string[]) => {
    const { stdout, stderr } = await runCommand("lowrank", args, { cwd: process.cwd() });
    return [...(stdout + stderr).matchAll(/^ {2}(\w+) {2,}\w/gm)].map(([, name]) => name);
  };
  const users = ["train", "check", "classify", "embed", "generate", "export", "sweep", "doctor"];
  assert.equal(await listed("--help"), [...users, "help"]);
  for (const args of [["dev"], ["dev", "--help"], ["help", "dev"]])
    assert.equal(await listed(...args), ["bench", "verify", "help"]);
});

test("words of a command line are quoted where a shell needs it", () => {
  assert.is(shellWord("runs/2026-01-02_03.04"), "runs/2026-01-02_03.04");
  assert.is(shellWord("my run"), '"my run"');
  assert.is(shellWord(""), '""');
  assert.is(shellWord("it's; rm"), `"it's; rm"`);
  if (process.platform !== "win32") assert.is(shellWord("$HOME's \\ run"), `'$HOME'\\''s \\ run'`);
});

test("--help lists what matters, in 80 columns where there is no terminal, and --help settings or --help all the rest", async () => {
  const help = async (name: "train" | "sweep" | "check" | "classify" | "generate" | "lowrank", ...args: string[]) => {
    const printed = await runCommand(name, args, { cwd: process.cwd() });
    assertCode(printed, 0);
    for (const line of printed.stdout.split("\n")) assert.ok(line.length <= 80, line);
    return printed.stdout;
  };
  const groupsOf = (text: string) => [...text.matchAll(/^(\S.*):\n/gm)].map(([, heading]) => heading).join();
  const train = await help("train", "--help");
  assert.ok(train.split("\n").length <= 75);
  assert.equal(groupsOf(train), "Arguments,Data,Training,Memory and device,Run,Options,Examples");
  assert.match(train, /which parameters are trained \(lora, all,[^)]*; default:\s+lora\)/);
  assert.match(train, /\nAll settings: node dist.train\.js --help settings\n$/);
  const all = await help("train", "--help", "settings");
  assert.equal(groupsOf(all), "Arguments,Data,Training,Method,Memory and device,Run,Options,Examples");
  for (const name of RUN_SETTINGS.filter(isOffered)) assert.match(all, `  ${flagName(name)}`);
  assert.not.match(all, "All settings:");
  const flagsOf = (text: string) => text.slice(text.indexOf("\nArguments:"), text.indexOf("\nExamples:"));
  assert.is(flagsOf(await help("lowrank", "help", "train", "settings")), flagsOf(all));
  for (const name of ["sweep", "check"] as const) {
    const own = await help(name, "--help");
    assert.ok(own.split("\n").length < 60);
    assert.not.match(own, "--rank");
    assert.match(own, `${name}.js --help settings\n`);
    assert.match(await help(name, "--help", "settings"), "--rank <n>");
  }
  for (const name of ["classify", "generate"] as const) {
    const short = await help(name, "--help");
    assert.ok(short.split("\n").length <= 50);
    assert.not.match(short, "--threads");
    assert.match(short, new RegExp(`\nAll flags: node dist.${name}.js --help all\n$`));
    assert.match(await help(name, "--help", "all"), "--threads <n>");
  }
  const misspelt = await runCommand("sweep", ["--rnak", "4"], { cwd: process.cwd() });
  assertCode(misspelt, 2);
  assert.match(misspelt.stderr, "(Did you mean --rank?)");
});
