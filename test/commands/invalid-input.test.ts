/** Invalid input to the commands: the exit code, the error with what was expected and found, and no file written. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, type Finished, filesIn, runCommand } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);
write("good.csv", messages(20));

const OUT = "run";
const train = (args: readonly string[]) => runCommand("train", [...args, "--out", OUT], { cwd: folder });
const DATA = ["--model", "model", "--data"];
const GOOD = [...DATA, "good.csv"];

/** Throws unless a command ended with `code`, printed all `words` as an error, and wrote no file. */
function assertRefused(finished: Finished, before: string[], code: 1 | 2, words: readonly string[]): void {
  assertCode(finished, code);
  for (const word of words)
    if (!finished.stderr.includes(word)) throw new Error(`"${word}" is not in the message:\n${finished.stderr}`);
  assert.not.match(finished.stderr, /\n {4}at /, "a stack trace is for bugs");
  assert.equal(filesIn(folder), before, "a file was written");
}

async function refuses(args: readonly string[], code: 1 | 2, words: readonly string[]): Promise<void> {
  const before = filesIn(folder);
  assertRefused(await train(args), before, code, words);
}

/** An invalid call of train: its description, flags, exit code, and words of the message. */
type Fault = [what: string, args: readonly string[], code: 1 | 2, words: readonly string[]];

const FLAGS: Fault[] = [
  ["an unknown flag", [...GOOD, "--rnak", "4"], 2, ["unknown option '--rnak'", "Did you mean --rank?"]],
  ["another program's flag", [...GOOD, "--file", "good.csv"], 2, ["option '--file'", "Did you mean --data?"]],
  ["PEFT's flag", [...GOOD, "--lora_alpha", "32"], 2, ["option '--lora_alpha'", "Did you mean --alpha?"]],
  ["transformers' flag", [...GOOD, "--gradient-checkpointing"], 2, ["Did you mean --recompute on?"]],
  ["a stray argument", [...GOOD, "more"], 2, ["too many arguments"]],
  ["an unknown mode", [...GOOD, "--mode", "lorra"], 2, ["'lorra'", "lora, all, last_block, last_layer"]],
  ["a rank that is not a number", [...GOOD, "--rank", "four"], 2, ["--rank", "Expected a number", '"four"']],
  [
    "a setting that is misspelt",
    [...GOOD, "--set", "paddig=longest"],
    2,
    ["unknown option paddig", "did you mean padding?"],
  ],
  [
    "a setting without a value",
    [...GOOD, "--set", "padding"],
    2,
    ["--set is invalid", "key=value", "found:    padding"],
  ],
  ["a setting given twice", [...GOOD, "--rank", "4", "--set", "rank=8"], 2, ["--rank is given twice", "--set rank=8"]],
  ["a word of a setting", [...GOOD, "--set", "headInit=zeroes"], 2, ["headInit", "did you mean zeros?"]],
  ["alpha NaN", [...GOOD, "--alpha", "NaN"], 2, ["--alpha", "Expected a number", '"NaN"']],
  ["a length beyond the context", [...GOOD, "--max-length", "65"], 2, ["context", "at most 64", "65"]],
  ["--data with --dataset", [...GOOD, "--dataset", "spam"], 2, ["one of", "found:    --data, --dataset"]],
  ["--train without --val", ["--train", "good.csv"], 2, ["--train, --val and --test", "found:    --train"]],
  ["--val alone", ["--val", "good.csv"], 2, ["--train, --val and --test", "found:    --val\n"]],
  ["an unknown data set", ["--dataset", "spma"], 2, ["spma", 'did you mean "spam"']],
  [
    "a negative interval of checkpoints",
    [...DATA, "none.csv", "--checkpoint-every", "-1"],
    2,
    ["--checkpoint-every", "-1"],
  ],
  ["two shares", [...GOOD, "--fractions", ".8,.2"], 2, ["fractions: an array", "three numbers"]],
  ["shares of too much", [...GOOD, "--fractions", "1,1,0"], 1, ["add up to 1, the first above 0"]],
  ["several seeds without a test set", [...GOOD, "--seeds", "2", "--fractions", "1,0,0"], 2, ["need a validation set"]],
  [
    "a threshold of nothing",
    [...GOOD, "--threshold", "f1", "--fractions", "1,0,0"],
    2,
    ["--threshold needs a validation set", "--threshold none"],
  ],
  ["no seeds", [...GOOD, "--seeds", "0"], 2, ["--seeds", "a whole number of 1 or more", "found:    0"]],
  ["seeds beyond the last", [...GOOD, "--seeds", "2", "--seed", "4294967295"], 2, ["the last seed", "to 4294967295"]],
  [
    "several seeds of an adapter",
    [...GOOD, "--seeds", "2", "--adapter", "a"],
    2,
    ["--adapter is invalid with --seeds"],
  ],
  [
    "several seeds of any type",
    [...GOOD, "--seeds", "2", "--dtype", "auto"],
    2,
    ["--dtype auto is invalid with --seeds"],
  ],
  ["seeds whose batches are too large", [...GOOD, "--seeds", "2", "--batch-size", "29"], 2, ["batch size", "1 to 28"]],
  ["a pipe", [...DATA, "/dev/null"], 2, ["/dev/null", "a pipe or a device"]],
  ["an unknown model", ["--model", "gpt2-mirco"], 2, ["gpt2-mirco", "did you mean gpt2-micro?"]],
];

write("empty.csv", "");
write("single.csv", "label,text\nham,hello\nham,hello again\n");
write("fields.csv", `${messages(4)}ham,one,two\n${messages(4).slice("label,text\n".length)}`);
write("eggs.csv", `${messages(2)}eggs,what is this\n`);
const SPLITS = ["--model", "model", "--train", "good.csv", "--test", "good.csv", "--val"];

const FILES: Fault[] = [
  ["a missing file", [...DATA, "none.csv"], 2, ["no such file", "none.csv"]],
  ["an empty file", [...DATA, "empty.csv"], 1, ["file is empty", "empty.csv", "at least one row"]],
  [
    "one class only",
    [...DATA, "single.csv"],
    1,
    ["All rows have the same class", "at least two classes", '"ham" in all of 2 rows'],
  ],
  ["an unknown label", [...SPLITS, "eggs.csv"], 1, ["eggs.csv:6", "expected: ham, spam", "found:    eggs"]],
  ["an unknown column", [...GOOD, "--text-column", "txet"], 1, ['"txet"', "label, text", 'did you mean "text"?']],
  ["a row with more fields", [...DATA, "fields.csv"], 1, ["fields.csv:10", "expected: 2 fields", "found:    3"]],
];

for (const [what, args, code, words] of [...FLAGS, ...FILES])
  test(`train refuses ${what}`, () => refuses(args, code, words));

test("train refuses an output directory that cannot be created, before training", async () => {
  const before = filesIn(folder);
  const finished = await runCommand("train", [...GOOD, "--out", "good.csv/run"], { cwd: folder });
  assertRefused(finished, before, 2, ["output directory cannot be created", "good.csv/run"]);
});

test("classify refuses a directory that is not a run, one in place of a file, and an unknown flag", async () => {
  mkdirSync(join(folder, "notes"));
  write("notes/todo.txt", "");
  const before = filesIn(folder);
  const classify = (...args: string[]) => runCommand("classify", args, { cwd: folder });
  const expected = ["no trained model", "lowrank.json"];
  assertRefused(await classify("--run", "nowhere", "x"), before, 2, [...expected, "no such directory"]);
  assertRefused(await classify("--run", "good.csv", "x"), before, 2, [...expected, "found:    a file"]);
  assertRefused(await classify("--run", "notes", "x"), before, 2, [...expected, "found:    todo.txt"]);
  assertRefused(await classify("--run", "nowhere", "notes"), before, 2, ["cannot read notes", "found:    a directory"]);
  assertRefused(await classify("x"), before, 2, ["--run DIR or --adapter DIR"]);
  assertRefused(await classify("--run", "notes", "--jsno", "x"), before, 2, ["--jsno", "Did you mean --json?"]);
});

test("generate refuses a classifier, a directory that is not a run, and invalid settings", async () => {
  const before = filesIn(folder);
  const generate = (...args: string[]) => runCommand("generate", args, { cwd: folder });
  const classifier = packagePath("test/golden/peft/c_attn");
  const base = packagePath("test/golden/peft/base");
  const refused = async (args: string[], words: string[]) => assertRefused(await generate(...args), before, 2, words);
  await refused(["--run", "nowhere", "x"], ["no trained model", "no such directory"]);
  await refused(
    ["--adapter", classifier, "--model", base, "x"],
    ["writes no text", "CAUSAL_LM", "SEQ_CLS", "classify"],
  );
  await refused(
    ["--run", "a", "--adapter", "b", "x"],
    ["--run and --adapter exclude each other", "--run DIR or --adapter DIR", "both"],
  );
  await refused(["--model", "model", "--top-k", "3", "x"], ["need a temperature"]);
  await refused(["--model", "model", "--temprature", "3", "x"], ["--temprature", "Did you mean --temperature?"]);
});

test("invalid rows are refused or skipped, long texts are truncated; both are counted and reported once", async () => {
  const invalid = Buffer.concat([Buffer.from("ham,caf"), Buffer.from([0xe9]), Buffer.from(" bar\nspam,prize ")]);
  const rows = Buffer.from(messages(20));
  const long = `ham,${"word ".repeat(100)}\nspam,${"prize ".repeat(100)}\n`;
  const odd = [rows, invalid, Buffer.from([0xff, 0x0a]), Buffer.from(long)];
  write("odd.csv", Buffer.concat(odd));
  // More valid characters than invalid ones: damaged UTF-8.
  write("damaged.csv", Buffer.concat([...odd, Buffer.from("ham,größer\nspam,über\n")]));
  const out = join(folder, "odd");
  const args = (name: string) => [...DATA, name, "--epochs", "1", "--threads", "1", "--mode", "last_layer", "--out"];
  const before = filesIn(folder);
  for (const [name, ...words] of [
    ["odd.csv", "but likely windows-1252", "odd.csv:42", "--encoding windows-1252"],
    ["damaged.csv", "not UTF-8", "damaged.csv:42", "--encoding windows-1252"],
  ] as const) {
    const more = name === "odd.csv" ? ["--skip-faulty"] : [];
    assertRefused(await runCommand("train", [...args(name), out, ...more], { cwd: folder }), before, 1, words);
  }
  const finished = await runCommand("train", [...args("damaged.csv"), out, "--skip-faulty"], { cwd: folder });
  assertCode(finished, 0);
  const reported = (words: RegExp) => assert.is(finished.stdout.match(words)?.length, 1, String(words));
  reported(/2 invalid rows were skipped/g);
  reported(/damaged\.csv:42: The text is not UTF-8/g);
  reported(/2 messages are longer than \d+ tokens and were truncated/g);
  const json = await runCommand("train", [...args("odd.csv"), `${out}-json`, "--json", "--encoding", "windows-1252"], {
    cwd: folder,
  });
  const { stats } = JSON.parse(json.stdout.split("\n")[0]!);
  assert.is(stats.leftOut.rows, 0);
  assert.is(stats.train.cut + stats.val.cut + stats.test.cut, 2);
});
