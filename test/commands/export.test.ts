/** Exports and PEFT adapters with the commands as shipped, on small data and a small model. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { encoderModel, messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(12));

const QUICK = ["--data", "messages.csv", "--epochs", "1", "--batch-size", "4", "--lr", "0.01", "--threads", "1"];
const run = (command: Parameters<typeof runCommand>[0], ...args: string[]) =>
  runCommand(command, args, { cwd: folder });

async function succeeds(command: Parameters<typeof runCommand>[0], ...args: string[]): Promise<string> {
  const result = await run(command, ...args);
  assertCode(result, 0);
  return result.stdout;
}

async function refused(words: string[], command: Parameters<typeof runCommand>[0], ...args: string[]): Promise<void> {
  const result = await run(command, ...args);
  assertCode(result, 2);
  for (const word of words) assert.ok(result.stderr.includes(word), `"${word}" is not in\n${result.stderr}`);
}

const classified = (output: string) =>
  output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).probabilities as Record<string, number>)
    .map((probabilities) => Object.values(probabilities));

test("a run exported to PEFT classifies the same and can be trained further", async () => {
  const settings = ["--no-head-bias", "--pooling", "last-token"];
  await succeeds("train", "--model", "model", ...QUICK, ...settings, "--out", "first");
  await succeeds("export", "--run", "first", "--to", "peft", "--out", "peft");
  assert.equal(readdirSync(join(folder, "peft")).sort(), [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "lowrank-files.json",
  ]);
  const card = readFileSync(join(folder, "peft", "README.md"), "utf8");
  const [, front] = /^---\n(.*?)---\n/s.exec(card)!;
  const { "model-index": [{ results }] = [], ...rest } = parse(front!);
  assert.equal(rest, {
    ...{ library_name: "peft", pipeline_tag: "text-classification", tags: ["lowrank", "peft", "lora"] },
    metrics: results[0].metrics.map(({ type }: { type: string }) => type),
  });
  assert.equal([results[0].dataset.name, results[0].metrics[0].type], ["messages.csv", "accuracy"]);
  assert.ok(card.includes("## Results") && card.includes("TF-IDF"), "no results");
  for (const [, text] of messages(12).matchAll(/"(.*)"/g)) assert.not.ok(card.includes(text!), text);
  assert.ok(results[0].metrics[0].value >= 0.5, front);
  const texts = ["--json", "free cash now", "see you at lunch"];
  const ours = classified(await succeeds("classify", "--run", "first", ...texts));
  const theirs = classified(await succeeds("classify", "--adapter", "peft", ...texts));
  for (const [i, probabilities] of ours.entries())
    for (const [j, p] of probabilities.entries()) assert.ok(Math.abs(p - theirs[i]![j]!) < 1e-5);
  await succeeds("train", "--adapter", "peft", ...QUICK, "--out", "second");
  const config = JSON.parse(readFileSync(join(folder, "second", "run.json"), "utf8"));
  assert.equal([config.adapter, config.options.targets[0]], [join(folder, "peft"), "c_attn"]);
  await refused(
    ["rank differs from the adapter", "omit --rank"],
    "train",
    "--adapter",
    "peft",
    ...QUICK,
    "--rank",
    "3",
  );
});

test("where a probe answers, what was trained is exported for PEFT; texts of another script are counted", async () => {
  encoderModel(join(folder, "encoder"), "bert");
  writeFileSync(join(folder, "many.csv"), messages(30));
  const small = ["--data", "many.csv", "--epochs", "1", "--lr", "1e-9", "--threads", "1"];
  await succeeds("train", "--model", "encoder", "--mode", "lora", ...small, "--out", "served");
  const { stderr, code } = await run("export", "--run", "served", "--to", "peft", "--out", "trained");
  assert.is(code, 0, stderr);
  assert.match(stderr, "a probe answers in this run; exported is what was trained");
  const read = (name: string) => readFileSync(join(folder, "trained", name), "utf8");
  assert.is(JSON.parse(read("adapter_config.json")).peft_type, "LORA");
  assert.match(read("README.md"), "linear probe");
  assert.not.match(read("README.md"), "answers in place");
  // Once, of all texts: the base has no such letters.
  writeFileSync(join(folder, "chinese.csv"), `text\n${"你好\nw5 w6\n".repeat(2)}`);
  for (const texts of [
    ["你好", "w5", "你好"],
    ["--in", "chinese.csv"],
    ["chinese.csv", "--out", "labelled.csv"],
  ]) {
    const { stderr } = await run("classify", "--run", "served", "--threads", "1", ...texts);
    assert.is(
      stderr.split("2 texts are mostly letters that no token of the base model has: choose one").length,
      2,
      stderr,
    );
  }
  await refused(["linear probe", "--mode lora"], "export", "--run", "served/adapter", "--to", "peft", "--out", "none");
});

test("a page is named after the data, has the given title and messages of the test set, and is replaced with --force", async () => {
  const args = ["--run", "first", "--to", "page", "--out", "page"];
  const { stderr } = await run("export", ...args, "--title", "Is it <spam>?");
  assert.match(stderr, /note: who has the page can read \d messages? of the test set in it/);
  const files = ["README.md", "lowrank-files.json", "messages-classifier.html"];
  assert.equal(readdirSync(join(folder, "page")).sort(), files);
  const html = readFileSync(join(folder, "page", files[2]!), "utf8");
  assert.ok(html.includes('<h1 dir="auto">Is it &#60;spam&#62;?</h1>'));
  const [, described] = /data-file="adapter\/lowrank\.json">([^<]+)</.exec(html)!;
  assert.not.ok(atob(described!).includes(folder), "a folder of the owner's is in the page");
  await succeeds("export", ...args, "--force");
  assert.equal(readdirSync(join(folder, "page")).sort(), files);
  assert.match(readFileSync(join(folder, "page", files[2]!), "utf8"), /<h1 dir="auto">Ham or spam\?<\/h1>/);
  await refused(["--to peft has no title"], "export", ...args.with(3, "peft").with(5, "p"), "--title", "x");
});

test("PEFT's files do not tell the pooling: an export with a mean is read back with it", async () => {
  await succeeds("train", "--model", "model", ...QUICK, "--no-head-bias", "--out", "third");
  const { stderr } = await run("export", "--run", "third", "--to", "peft", "--out", "third-peft");
  assert.match(stderr, /mean of a text's tokens: use the README's code/);
  const [ours, theirs] = await Promise.all(
    [
      ["--run", "third"],
      ["--adapter", "third-peft"],
    ].map((of) => succeeds("classify", ...of, "--json", "free cash")),
  );
  assert.is(theirs, ours);
});

test("an export that would lose something is refused; --lossy drops it", async () => {
  const padded = ["--set", "padding=longest", "--set", "pooling=last", "--no-head-bias"];
  await succeeds("train", "--model", "model", ...QUICK, ...padded, "--out", "padded");
  const args = ["--run", "padded", "--to", "merged", "--out", "merged"];
  await refused(["including padding", "--lossy"], "export", ...args);
  assert.not.ok(existsSync(join(folder, "merged")));
  await succeeds("export", ...args, "--lossy");
  assert.ok(readFileSync(join(folder, "merged", "README.md"), "utf8").includes("from which this model differs"));
  await refused(["exists"], "export", ...args);
  await refused(["cannot express", "--lossy"], "export", ...args, "--force");
  // Only an export with nothing else beside it is replaced.
  writeFileSync(join(folder, "merged", "notes.txt"), "mine");
  await refused(["other files", "notes.txt"], "export", ...args, "--lossy", "--force");
  rmSync(join(folder, "merged", "notes.txt"));
  await succeeds("export", ...args.with(3, "peft"), "--lossy", "--force");
  assert.equal(readdirSync(join(folder, "merged")).sort(), [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "lowrank-files.json",
  ]);
  await refused(
    ["config.json, model.safetensors", "choose another output"],
    "export",
    ...args.slice(0, -1),
    "model",
    "--force",
  );
  assert.ok(existsSync(join(folder, "model", "model.safetensors")));
});
