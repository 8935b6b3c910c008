/** sweep --minutes: what it trains and says, and that the recommended command trains the same. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand, snapshot } from "../helpers/spawn.ts";
import { messages, TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "my messages.csv"), messages(20));

const CPU = ["--device", "wasm", "--threads", "2"];
const ARGS = ["my messages.csv", "--model", "model", "--batch-size", "4", "--out", "study", ...CPU];
const GRID = ["--grid", "mode=last_layer,bitfit", "--grid", "lr=1e-3,1e-2", "--epochs", "9"];
const sweep = (...args: string[]) => runCommand("sweep", [...ARGS, ...args], { cwd: folder });

test("without time nothing is begun; with more, the same command trains, names each step and recommends one setting", async () => {
  const none = await sweep(...GRID, "--minutes", "1e-9");
  assertCode(none, 0);
  assert.match(none.stderr, "4 of 4 settings not tried: the same command goes on with more");
  assert.not.ok(readdirSync(join(folder, "study")).includes("trials"));

  const some = await sweep(...GRID, "--minutes", "10");
  assertCode(some, 0);
  assert.match(some.stderr, /^rung 1 of 2: 1 trial of 4 settings, epochs: 3$/m);
  assert.match(some.stderr, /^rung 1 of 2: 3 trials of 4 settings, epochs: 3, about /m);
  assert.match(some.stderr, /^rung 2 of 2: 2 trials with the lowest validation loss, epochs: 9, about /m);
  assert.match(
    some.stdout,
    /^Recommended: .*, which has the lowest validation loss of 4 settings\. Its test accuracy is .*: .*"TF-IDF, logistic regression/m,
  );
  assert.match(some.stdout, /^report of 6 trials: study\/report\.html$/m);
  assert.match(
    readFileSync(join(folder, "study", "report.md"), "utf8"),
    "There was time for 4 settings, then 2 settings.",
  );

  // Nothing is left to do. What names a trial names the same one.
  const again = await sweep(...GRID, "--minutes", "10", "--json");
  assert.not.match(again.stderr, "rung");
  const classified = await runCommand("classify", ["--run", "study", "call now", "--device", "wasm"], { cwd: folder });
  assert.match(classified.stdout, /^(ham|spam)\t0\.\d+\tcall now\n$/);
  assert.match(some.stdout, /^try it: .*--run study "/m);
  const end = again.stdout.split("\n").find((line) => line.startsWith('{"type":"end"'))!;
  const best = `study/trials/${JSON.parse(end).best}`;
  const record = JSON.parse(readFileSync(join(folder, best, "run.json"), "utf8"));
  const losses = JSON.parse(end).trials.map(({ val }: { val: { loss: number } }) => val.loss);
  assert.is(record.results.after.val.loss, Math.min(...losses));
  assert.ok(some.stdout.includes(`It is in ${best}.`));
  const report = readFileSync(join(folder, "study", "report.md"), "utf8").replaceAll("\u00a0", " ");
  const [setting] = /(?<=^Recommended: ).*?(?=, rate)/m.exec(some.stdout)!;
  assert.match(report, `Recommended: ${setting}, rate`);
  assert.match(report, `The best run: ${setting}`);
  assert.match(some.stdout, `Best run: ${setting}`);

  // What it says to be typed, as a shell reads it.
  const [, command] = /^This trains it by hand:\n\S+ \S*train(?:\.js)? (.*)$/m.exec(some.stdout)!;
  const words = [...command!.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
  assertCode(await runCommand("train", [...words, "--out", "hand", ...CPU], { cwd: folder }), 0);
  const adapter = (run: string) =>
    [...snapshot(join(folder, run, "adapter"))].filter(([path]) => /safetensors$/.test(path));
  assert.equal(adapter("hand"), adapter(best));
});

/** A model with the first 300 tokens of GPT-2's vocabulary. */
function otherVocabulary(name: string): void {
  const directory = tinyModel(join(folder, name), () => {}, { ...TINY, vocab_size: 304 });
  const gpt2 = (file: string) => readFileSync(packagePath(`data/models/gpt2-micro/${file}`), "utf8");
  const some = Object.entries<number>(JSON.parse(gpt2("vocab.json"))).filter(([, id]) => id < 300);
  const vocabulary = { ...Object.fromEntries(some), "<|endoftext|>": 300 };
  writeFileSync(join(directory, "vocab.json"), JSON.stringify(vocabulary));
  writeFileSync(join(directory, "merges.txt"), `${gpt2("merges.txt").split("\n").slice(0, 45).join("\n")}\n`);
}

test("base models of several vocabularies are compared on the same rows; not as language models", async () => {
  otherVocabulary("other");
  const args = ["my messages.csv", "--model", "model", "--grid", "model=model,other", "--epochs", "1", ...CPU];
  const both = await runCommand("sweep", [...args, "--mode", "last_layer", "--out", "both"], { cwd: folder });
  assertCode(both, 0);
  assert.match(both.stdout, "report of 2 of 2 trials");
  const tokens = new Set<number>();
  for (const name of readdirSync(join(folder, "both", "trials"))) {
    const { counts } = JSON.parse(readFileSync(join(folder, "both", "trials", name, "run.json"), "utf8"));
    assert.equal(counts.rows, [28, 4, 8]);
    tokens.add(counts.tokens[2]);
  }
  assert.is(tokens.size, 2);
  writeFileSync(join(folder, "a.txt"), "All human beings are born free.\n".repeat(90));
  const text = ["a.txt", ...args.slice(1), "--rank", "2", "--objective", "lm", "--out", "lm"];
  const lm = await runCommand("sweep", text, { cwd: folder });
  assertCode(lm, 1);
  assert.match(lm.stderr, /failed: other, .*\n.*another vocabulary/);
});

test("what --minutes does not go with is refused; a sweep of nothing says that it may be left to the built-in list", async () => {
  const refused = async (words: string, ...args: string[]) => {
    const { code, stderr } = await sweep(...args);
    assert.is(code, 2, stderr);
    assert.ok(stderr.includes(words), stderr);
  };
  await refused("--minutes is invalid", ...GRID, "--minutes", "0");
  await refused("--minutes and --shard are mutually exclusive", ...GRID, "--minutes", "1", "--shard", "1/2");
  await refused("--minutes 10 alone tries a built-in list");
});
