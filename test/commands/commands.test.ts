/** The commands on small data and a small model, in this process: output, files, exit codes. */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { savedTables } from "../helpers/markup.ts";
import { assertCode, filesIn, parseTable, runCommand, type SpawnOptions, snapshot } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(20));
for (const [name, count] of Object.entries({ train: 12, val: 4, test: 6 }))
  writeFileSync(join(folder, `${name}.csv`), messages(count));

/** More than one thread would wait for each other longer than they compute. */
const QUICK = "--model model --batch-size 4 --lr 0.01 --epochs 2 --threads 1".split(" ");
const RUN = [...QUICK, "--data", "messages.csv"];
const FILES = [
  "adapter/adapter_config.json",
  "adapter/adapter_model.safetensors",
  "adapter/lowrank.json",
  "adapter/lowrank.safetensors",
  "classic.json",
  "predictions.csv",
  "report.html",
  "run.json",
];

const train = (args: string[], more: Partial<SpawnOptions> = {}) => runCommand("train", args, { cwd: folder, ...more });
const read = (...path: string[]) => readFileSync(join(folder, ...path), "utf8");
/** A table that the run's page saves. */
const tableOf = (run: string, name: string) => parseTable(savedTables(read(run, "report.html")).get(name)!);
const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("train writes a run directory with the files that the README lists, before it prints the result", async () => {
  let saved: string[] | undefined;
  const watch = (stdout: string) => {
    if (stdout.includes("This run minus it")) saved ??= filesIn(join(folder, "first"));
  };
  const { stdout, stderr, ...rest } = await train([...RUN, "--rank", "4", "--alpha", "8", "--out", "first"], { watch });
  assertCode({ stdout, stderr, ...rest }, 0);
  assert.equal(saved, FILES);
  assert.equal(filesIn(join(folder, "first")), FILES);
  const config = JSON.parse(read("first", "run.json"));
  assert.is(config.model, join(folder, "model"));
  assert.equal(config.labels, ["ham", "spam"]);
  assert.equal(
    [config.options.rank, config.options.alpha, config.options.seed, config.data.file],
    [4, 8, 1, join(folder, "messages.csv")],
  );
  const [head, ...losses] = tableOf("first", "losses.csv");
  assert.is(head!.join(), "step,epoch,examples_seen,lr,train_loss,val_loss,train_acc,val_acc,val_macro_f1,grad_norm");
  assert.equal(
    losses.map(([step]) => step),
    ["0", "4", "8", "12", "14"],
  );
  for (const name of ["loss", "accuracy", "reliability", "roc", "precision-recall"])
    assert.match(read("first", "report.html"), `Save ${name}.svg`);
  assert.match(stdout, /^sets: training \d+, validation \d+, test 8 rows$/m);
  assert.match(stdout, /trainable: .* parameters .*, LoRA; the base model has [\d,]+\nmemory: /);
  assert.match(stdout, /^memory: [\d.]+ \w+ \(.*frozen weights [\d.]+ \w+.*\), for batches of at most \d+ tokens$/m);
  assert.match(
    stdout,
    /of 8 test messages right: too few to tell\. Always guessing (ham|spam): \d.* A word-count model: \d.*\nsaved to first; report: first.report\.html\nmeasured on 8 rows alone: train --folds 5 .*\ntry it: .*\nlabel a table: .*--run first --in new\.csv --out new-labelled\.csv\n$/,
  );
  assert.ok(stdout.split("\n").length <= 30, stdout);
  assert.match(
    read("first", "report.html"),
    /<h1>A model that classifies messages as ham or spam<\/h1><p class="verdict \w+">.* of 8 test /,
  );
  assert.match(stderr, /step 14\/14 {2}epoch 2 {2}loss \d\.\d+ {2}accuracy \d+\.\d %/);
  assert.not.match(stdout + stderr, /undefined|NaN|\[object/);
});

test("the progress output shows means over recent steps", async () => {
  const { stderr } = await train([...RUN, "--out", "mean", "--lr", "1e-9", "--batch-size", "1", "--epochs", "1"]);
  // With one message per step, the accuracy of a step is 0 or 100 %; means are in between.
  const shown = [...stderr.matchAll(/accuracy (\d+\.\d) %/g)].map(([, value]) => Number(value));
  assert.ok(shown.length >= 10);
  assert.ok(
    shown.some((value) => value > 0 && value < 100),
    shown.join(),
  );
});

test("train --json prints only JSON lines", async () => {
  const finished = await train([...RUN, "--json", "--out", "json", "--mode", "last_layer"]);
  assertCode(finished, 0);
  const events = jsonLines(finished.stdout);
  const types = events.map(({ type }) => type);
  assert.equal([...new Set(types)], ["data", "plan", "start", "evaluation", "step", "end", "saved"]);
  assert.is(types.filter((type) => type === "step").length, 14);
  assert.equal([events[0].stats.rowsRead, events[0].labels], [40, ["ham", "spam"]]);
  assert.is(events.at(-1).directory, "json");
  assert.not.match(finished.stderr, "step 1/");
  assert.equal(
    filesIn(join(folder, "json")).filter((name) => name.startsWith("adapter/")),
    ["adapter/lowrank.json", "adapter/weights.safetensors"],
  );
});

test("a file for each set", async () => {
  const files = ["--data", "train.csv", "--val", "val.csv", "--test", "test.csv"];
  const finished = await train([...QUICK, ...files, "--out", "splits"]);
  assertCode(finished, 0);
  assert.match(finished.stdout, /^sets: training 24, validation 8, test 12 rows$/m);
  assert.is(JSON.parse(read("splits", "run.json")).data.val, join(folder, "val.csv"));
});

test("classify: arguments, lines of standard input, JSON", async () => {
  const classify = (args: string[], input?: string) =>
    runCommand("classify", ["--run", "first", ...args], { cwd: folder, ...(input === undefined ? {} : { input }) });
  const texts = ["you have won a prize, call now, code 3", "see you at lunch, friend, table 3", ""];
  const plain = await classify(texts);
  assertCode(plain, 0);
  const lines = plain.stdout.slice(0, -1).split("\n");
  assert.is(lines.pop(), "\t\t");
  assert.match(plain.stderr, "1 of 3 texts are empty and have no label");
  for (const [i, line] of lines.entries()) assert.match(line, new RegExp(`^(ham|spam)\\t[01]\\.\\d{4}\\t${texts[i]}$`));
  const piped = await classify([], `\uFEFF${texts.toReversed().join("\r\n")}\r`);
  assert.equal(piped.stdout.trimEnd().split("\n"), ["\t\t", ...lines.toReversed()]);
  const json = jsonLines((await classify(["--json", ...texts])).stdout);
  assert.equal(json.pop(), { text: "", label: null, reason: "blank", probability: null, probabilities: {} });
  for (const [i, { text, label, probability, probabilities }] of json.entries()) {
    assert.is(text, texts[i]);
    assert.is(probability, probabilities[label]);
    assert.is(Math.max(...Object.values<number>(probabilities)), probability);
    assert.equal(Object.keys(probabilities), ["ham", "spam"]);
    assert.ok(Math.abs(probabilities.ham + probabilities.spam - 1) < 1e-12);
    assert.ok(lines[i]!.startsWith(`${label}\t${probability.toFixed(4)}`));
  }
  const many = Array.from({ length: 70 }, (_, i) => `${"word ".repeat(i % 9)}${i}`);
  const labelled = jsonLines((await classify(["--json"], many.join("\n"))).stdout);
  assert.equal(
    labelled.map(({ text }) => text),
    many,
  );
});

test("classify --classic: the run's TF-IDF model, without its base model and without a device", async () => {
  const texts = ["you have won a prize, call now, code 3", "see you at lunch, friend, table 3", " "];
  const classify = (...args: string[]) => runCommand("classify", args, { cwd: folder });
  const plain = await classify("--run", "first", "--classic", ...texts);
  assertCode(plain, 0);
  assert.match(plain.stdout, /^spam\t[01]\.\d{4}\tyou .*\nham\t[01]\.\d{4}\tsee .*\n\t\t \n$/);
  assert.match(plain.stderr, "1 of 3 texts are empty and have no label");
  mkdirSync(join(folder, "alone"));
  copyFileSync(join(folder, "first", "classic.json"), join(folder, "alone", "classic.json"));
  for (const place of ["alone", "alone/classic.json"])
    assert.is((await classify("--run", place, ...texts)).stdout, plain.stdout);
  const labelled = await classify("--run", "alone", "--in", "messages.csv", "--out", "by-classic.csv");
  assertCode(labelled, 0);
  assert.match(labelled.stderr, /rows\/s, on the CPU, by a classic model\n/);
  const [head, ...rows] = read("by-classic.csv").trimEnd().split(/\r?\n/);
  assert.is(head, "label,text,predicted,probability");
  assert.ok(rows.every((row) => /^(ham|spam),".*",\1,[01]\.\d{6}$/.test(row)));
  for (const [args, ...words] of [
    [["first", "--model", "model"], "a classic model has no --model"],
    [["nowhere"], "there is no classic model", "no such directory"],
    [["first.zip"], "there is no classic model", "a zip file"],
  ] as const) {
    const refused = await classify("--classic", "--run", ...args, "x");
    assertCode(refused, 2);
    for (const word of words) assert.match(refused.stderr, word);
  }
});

testAll("on WebGPU, standard error has only the run's own lines, none of the driver's", async () => {
  const finished = await train([...RUN, "--device", "webgpu", "--out", "webgpu"], { spawned: true });
  assertCode(finished, 0);
  assert.match(finished.stdout, "(webgpu");
  for (const line of finished.stderr.trimEnd().split("\n")) assert.match(line, /^step \d+\/\d+ {2}epoch \d/);
});

test("generate: arguments, lines of standard input, JSON, the note on dropped tokens", async () => {
  const settings = ["--model", "model", "--device", "wasm", "--threads", "1", "--max-new-tokens", "3"];
  const generate = (args: string[], input = "") =>
    runCommand("generate", [...settings, ...args], { cwd: folder, input });
  const prompts = ["Once upon a time", "word ".repeat(70)];
  const plain = await generate(["--batch-size", "1", ...prompts]);
  assertCode(plain, 0);
  assert.match(
    plain.stderr,
    /^prompt 2: the text is longer than the context of 64 tokens; the oldest \d+ were dropped$/m,
  );
  assert.match(plain.stderr, /^6 tokens, \d+\.\d tokens\/s, on /m);
  // --stop takes one text, not the prompts behind it. A line of standard input is a prompt.
  const json = jsonLines((await generate(["--json", "--stop", "neither", "--stop", "nor"], prompts.join("\n"))).stdout);
  assert.is(json.length, prompts.length);
  for (const [i, { prompt, text, tokens, finish, forgotten, ...rest }] of json.entries()) {
    assert.equal([prompt, tokens, finish, forgotten > 0, rest], [prompts[i], 3, "length", i === 1, {}]);
    assert.ok(text.length > 0);
  }
  assert.is(plain.stdout, `${json.map(({ prompt, text }) => prompt + text).join("\n\n")}\n`);
  const cut = await runCommand("generate", ["--model", "e5-small-cut", "x"], { cwd: folder });
  assert.equal([cut.code, cut.stdout], [2, ""]);
  assert.match(cut.stderr, /^ConfigError: e5-small-cut cannot write[\s\S]*--model gpt2-micro/);
  // A terminal would take control characters as commands; a file has them as they are.
  const odd = "a\u001b[2J\u0007";
  const drawn = async (seed: string) => (await generate(["--temperature", "1.5", "--seed", seed, odd])).stdout;
  const [third, fourth] = [await drawn("3"), await drawn("4")];
  assert.ok(third.startsWith(odd));
  assert.not.equal(third, fourth);
  const { isTTY } = process.stdout;
  process.stdout.isTTY = true;
  const shown = await drawn("3").finally(() => {
    process.stdout.isTTY = isTTY;
  });
  assert.ok(shown.startsWith("a\\u001b[2J\\u0007"));
});

test("--force replaces a run only when the new one is finished", async () => {
  const out = join(folder, "forced");
  cpSync(join(folder, "first"), out, { recursive: true });
  const before = snapshot(out);
  const again = [...RUN, "--out", "forced"];
  const refused = await train(again);
  assertCode(refused, 2);
  for (const word of ["the output directory already exists", "forced", "--force"]) assert.match(refused.stderr, word);
  assertCode(await train([...QUICK, "--data", "none.csv", "--out", "forced", "--force"]), 2);
  const failed = await train([...again, "--force", "--lr", "1e30"]);
  assertCode(failed, 1);
  assert.match(failed.stderr, /TrainingError: .* is not finite\n.*step \d+ of 14/);
  assert.match(failed.stderr, "forced.new/adapter");
  assert.equal(snapshot(out), before);
  // The last good state is finite, but the head merged with its adapter is not: PEFT's files are not written.
  const files = [...FILES.filter((name) => name.startsWith("adapter/lowrank.")), "run.json"];
  assert.equal(filesIn(join(folder, "forced.new")), files);
  const blocked = await train([...again, "--force"]);
  assertCode(blocked, 2);
  for (const word of ["a run that has failed", "forced.new", "remove it"]) assert.match(blocked.stderr, word);
  rmSync(join(folder, "forced.new"), { recursive: true });
  writeFileSync(join(out, ".DS_Store"), "");
  assertCode(await train([...again, "--force", "--seed", "2"]), 0);
  assert.is(JSON.parse(read("forced", "run.json")).options.seed, 2);
  assert.equal(filesIn(out), FILES);
  const replaced = snapshot(out);
  for (const path of ["thesis.txt", join("adapter", "thesis.txt")]) {
    writeFileSync(join(out, path), "years");
    const foreign = await train([...again, "--force"]);
    assertCode(foreign, 2);
    assert.match(foreign.stderr, path);
    rmSync(join(out, path));
  }
  const report = read("forced", "report.html");
  writeFileSync(join(out, "report.html"), `${report}<!-- my notes -->`);
  const changed = await train([...again, "--force"]);
  assertCode(changed, 2);
  assert.match(changed.stderr, "report.html (changed since it was written)");
  writeFileSync(join(out, "report.html"), report);
  symlinkSync("forced", join(folder, "link"));
  const link = await train([...RUN, "--out", "link", "--force"]);
  assertCode(link, 2);
  assert.match(link.stderr, "a link or a mount point");
  assert.equal(snapshot(out), replaced);
  assert.equal(
    readdirSync(folder).filter((name) => /forced\.|lowrank/.test(name)),
    [],
  );
});

testAll("two runs into one directory: one is refused", async () => {
  const both = await Promise.all([1, 2].map(() => train([...RUN, "--out", "one"], { spawned: true })));
  assert.equal(both.map(({ code }) => code).sort(), [0, 2]);
  assert.match(
    both.find(({ code }) => code === 2)!.stderr,
    /another run has begun in this directory|the output directory already exists/,
  );
});

test("a run whose directory is gone in the end says so", async () => {
  let moved = false;
  const finished = await train([...RUN, "--out", "gone/run", "--json", "--checkpoint-every", "5"], {
    watch: () => {
      if (!moved) renameSync(join(folder, "gone"), join(folder, "moved"));
      if (!moved) writeFileSync(join(folder, "gone"), "");
      moved = true;
    },
  });
  assertCode(finished, 1);
  assert.match(finished.stderr, "the checkpoint of step 5 could not be saved: the disk cannot be written to");
  assert.match(finished.stderr, /LowrankError: the run's directory is not there any more\n {2}where: {4}gone\/run\n/);
  assert.match(finished.stderr, "--resume gone/run");
  assert.equal(filesIn(join(folder, "moved", "run")), ["run.json"]);
});

test("a run that was killed before its first checkpoint is resumed from its beginning, beside a file of the user's", async () => {
  const out = join(folder, "begun");
  // What a kill leaves after the first words.
  const watch = () => existsSync(out) || cpSync(join(folder, "straight"), out, { recursive: true });
  assertCode(await train([...RUN, "--out", "straight"], { watch }), 0);
  assert.equal(filesIn(out), ["run.json"]);
  writeFileSync(join(out, "thesis.txt"), "years");
  const again = await train([...RUN, "--out", "begun"]);
  assertCode(again, 2);
  assert.match(again.stderr, "--resume begun");
  assertCode(await train(["--resume", "begun"]), 0);
  assert.equal(filesIn(out), [...FILES, "thesis.txt"]);
  assert.equal(snapshot(join(out, "adapter")), snapshot(join(folder, "straight", "adapter")));
  const ended = await train(["--resume", "begun"]);
  assertCode(ended, 2);
  assert.match(ended.stderr, "there is nothing to resume: the run has finished");
});

test("--force, interrupted: the old run stays until the new one is finished, which is resumed to the same bits", async () => {
  cpSync(join(folder, "first"), join(folder, "old"), { recursive: true });
  const before = snapshot(join(folder, "old"));
  // With a trailing slash, as a shell completes it.
  const again = [...RUN, "--out", "old/", "--force", "--seed", "3"];
  const stopped = await train([...again, "--json"], {
    watch: (stdout, kill) => /"step":3\b/.test(stdout) && kill("SIGHUP"),
  });
  assertCode(stopped, 130);
  const kept = join(folder, "old.new");
  assert.match(stopped.stderr, `resume it:  node ${packagePath("dist/train.js")} --resume ${kept}\n`);
  assertCode(await runCommand("classify", ["--run", kept, "x"], { cwd: folder }), 0);
  assert.equal(snapshot(join(folder, "old")), before);
  const refused = await train(again);
  assertCode(refused, 2);
  assert.match(refused.stderr, `--resume ${kept}`);
  const swapped = read("messages.csv").replaceAll(/^(ham|spam)/gm, (word) => (word === "ham" ? "spam" : "ham"));
  writeFileSync(join(folder, "messages.csv"), swapped);
  const changed = await train(["--resume", kept]);
  assertCode(changed, 2);
  assert.match(changed.stderr, "has changed since the run started");
  writeFileSync(join(folder, "messages.csv"), messages(20));
  const weights = readFileSync(join(folder, "model", "model.safetensors"));
  tinyModel(join(folder, "model"), (tensors) => tensors.get("h.1.attn.c_attn.weight")!.data.fill(0.01, 0, 1));
  const other = await train(["--resume", kept]);
  assertCode(other, 2);
  assert.match(other.stderr, "has changed since the run started");
  writeFileSync(join(folder, "model", "model.safetensors"), weights);
  // A file that was added to the directory in the meantime is not the run's.
  writeFileSync(join(folder, "old", "log.txt"), "");
  const foreign = await train(["--resume", kept]);
  assertCode(foreign, 2);
  assert.match(foreign.stderr, "log.txt");
  rmSync(join(folder, "old", "log.txt"));
  assertCode(await runCommand("train", ["--resume", `${kept}/`], { cwd: join(folder, "model") }), 0);
  assert.equal(filesIn(join(folder, "old")), FILES);
  assert.not.ok(existsSync(kept));
  assert.is(tableOf("old", "losses.csv").at(-1)![0], "14");
  const adapter = snapshot(join(folder, "old", "adapter"));
  assertCode(await train(again), 0);
  assert.equal(snapshot(join(folder, "old", "adapter")), adapter);
  assert.equal(filesIn(join(folder, "old")), FILES);
  assert.not.ok(existsSync(kept));
});

test("a failed run saves its last good parameters", async () => {
  const failed = await train([...RUN, "--out", "diverged", "--lr", "1e30", "--warmup", "0"]);
  assertCode(failed, 1);
  const { code, message } = JSON.parse(read("diverged", "run.json")).error;
  assert.is(code, "not-finite");
  assert.match(message, /step \d+ of 14/);
  assert.ok(filesIn(join(folder, "diverged")).some((name) => name.startsWith("adapter")));
  // They are finite, and far too large for the model's numbers to be.
  const labelled = await runCommand("classify", ["--run", "diverged", "--json", "x"], { cwd: folder });
  assertCode(labelled, 1);
  assert.match(labelled.stderr, "the model's probabilities are not finite");
});

test("SIGINT saves what was learned and a checkpoint, and exits 130", async () => {
  const finished = await train([...RUN, "--out", "stopped", "--epochs", "5000", "--json"], {
    watch: (stdout, kill) => stdout.includes('"type":"step"') && kill("SIGINT"),
  });
  assertCode(finished, 130);
  assert.match(finished.stderr, "stopping to save the run");
  // The test set was not evaluated.
  const isCheckpoint = (name: string) => /^checkpoint.step-\d+\.safetensors$/.test(name);
  const files = filesIn(join(folder, "stopped"));
  assert.is(files.filter(isCheckpoint).length, 1);
  assert.equal(
    files.filter((name) => !isCheckpoint(name)),
    FILES.filter((name) => !/^(baselines|class|confusion|measures|precision|predictions|reliability|roc)/.test(name)),
  );
  const events = jsonLines(finished.stdout);
  assert.is(events.find(({ type }) => type === "end").state, "stopped");
  assert.is(events.at(-1).type, "saved");
  assert.match(finished.stderr, /^resume it: {2}node \S+train\.js --resume stopped$/m);
  const again = await train([...RUN, "--out", "stopped"]);
  assertCode(again, 2);
  for (const word of ["an interrupted run", "--resume stopped"]) assert.match(again.stderr, word);
});

/** What follows a command in the README's blocks of a terminal, up to the next one, without white space. */
function shownAfter(command: string): string[] {
  const [, shown = ""] = readFileSync(packagePath("README.md"), "utf8").split(
    `    $ node dist/lowrank.js ${command}\n`,
  );
  const lines = shown.split("\n").map((line) => line.trim());
  return lines.slice(
    0,
    lines.findIndex((line) => /^(\$|\||What)/.test(line)),
  );
}

test("a file alone trains a probe by folds, as the README shows; sets, or a flag that says what is tested, make it one run", async () => {
  cpSync(packagePath("data/examples"), join(folder, "data/examples"), { recursive: true });
  const words = (text: string) => text.replaceAll(/device: .*|node \S*lowrank\.js|\s+/g, "");
  const tickets = ["data/examples/tickets.csv", "--out", "tickets"];
  const folds = await runCommand("lowrank", [...tickets, "--threads", "1"], { cwd: folder });
  assertCode(folds, 0);
  // Two lines of the README are not of the output: what yours can be.
  const shown = shownAfter(tickets.join(" "));
  assert.is(words(folds.stdout), words(shown.slice(shown.indexOf("model: e5-small-cut")).join("\n")));
  const labelling = "classify --run tickets --in data/examples/new.csv --out labelled.csv";
  assertCode(await runCommand("classify", labelling.split(" ").slice(1), { cwd: folder }), 0);
  const labelled = read("labelled.csv");
  const examples = shownAfter(labelling).filter((line) => line !== "");
  assert.ok(examples.length >= 3 && examples.every((line) => labelled.includes(line)), labelled);
  const lines = messages(15).trimEnd().split("\n");
  const split = lines.map((line, i) => `${line},${i === 0 ? "split" : ["train", "validation", "test"][i % 3]}`);
  writeFileSync(join(folder, "split.csv"), `${split.join("\n")}\n`);
  const probe = (...args: string[]) => train([...args, "--threads", "1"]);
  for (const args of [["split.csv"], ["messages.csv", "--fractions", ".5,.2,.3"]]) {
    const one = await probe(...args, "--out", `one-${args.length}`);
    assertCode(one, 0);
    assert.match(one.stdout, /^sets: training \d+, validation \d+, test \d+ rows$/m);
  }
  const again = await probe("messages.csv", "--out", "one-1");
  assertCode(again, 2);
  assert.match(again.stderr, /a finished run[\s\S]*--force/);
  const missing = await probe("missing.csv");
  assertCode(missing, 2);
  assert.match(missing.stderr, /missing\.csv/);
});
