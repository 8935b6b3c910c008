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

/** Throws unless a command ended with `code`, printed all `words` as an error, and wrote no file. */
function assertRefused(finished: Finished, before: string[], code: 1 | 2, words: readonly string[]): void {
  assertCode(finished, code);
  for (const word of words)
    if (!finished.stderr.includes(word)) throw new Error(`"${word}" is not in the message:\n${finished.stderr}`);
  assert.not.match(finished.stderr, /\n {4}at /, "a stack trace is for bugs");
  assert.equal(filesIn(folder), before, "a file was written");
}

const MODEL = "--model model --data";
const GOOD = `${MODEL} good.csv`;

test("train refuses invalid flags and files: once each, with nothing written", async () => {
  write("empty.csv", "");
  const before = filesIn(folder);
  for (const [args, code, ...words] of [
    [`${GOOD} --rnak 4`, 2, "unknown option '--rnak'", "Did you mean --rank?"],
    // Another program's flag, and transformers'.
    [`${GOOD} --file good.csv`, 2, "option '--file'", "Did you mean --data?"],
    [`${GOOD} --gradient-checkpointing`, 2, "Did you mean --recompute on?"],
    [`${GOOD} more`, 2, "too many arguments"],
    [`${GOOD} --mode lorra`, 2, "'lorra'", "lora, all, last_block, last_layer"],
    [`${GOOD} --rank four`, 2, "--rank", "Expected a number", '"four"'],
    [`${GOOD} --set paddig=longest`, 2, "unknown option paddig", "did you mean padding?"],
    [`${GOOD} --set padding`, 2, "--set is invalid", "key=value", "found:    padding"],
    [`${GOOD} --rank 4 --set rank=8`, 2, "--rank is given twice", "--set rank=8"],
    [`${GOOD} --max-length 65`, 2, "context", "at most 64", "65"],
    [`${GOOD} --dataset spam`, 2, "one of", "found:    --data, --dataset"],
    ["--test good.csv", 2, "one of --data", "found:    --test"],
    ["--data good.csv --train good.csv", 2, "--data"],
    [`${MODEL} none.csv --checkpoint-every -1`, 2, "--checkpoint-every", "-1"],
    [`${GOOD} --fractions 1,1,0`, 1, "add up to 1, the first above 0"],
    [`${GOOD} --threshold f1 --fractions 1,0,0`, 2, "--threshold needs a validation set", "--threshold none"],
    [`${GOOD} --seeds 2 --fractions 1,0,0`, 2, "need a validation set"],
    [`${GOOD} --seeds 0`, 2, "--seeds", "a whole number of 1 or more", "found:    0"],
    [`${GOOD} --seeds 2 --seed 4294967295`, 2, "the last seed", "to 4294967295"],
    [`${GOOD} --seeds 2 --adapter a`, 2, "--adapter is invalid with --seeds"],
    [`${GOOD} --seeds 2 --dtype auto`, 2, "--dtype auto is invalid with --seeds"],
    [`${GOOD} --seeds 2 --batch-size 29`, 2, "batch size", "1 to 28"],
    [`${MODEL} /dev/null`, 2, "/dev/null", "a pipe or a device"],
    ["--model gpt2-mirco", 2, "gpt2-mirco", "did you mean gpt2-micro?"],
    [`${MODEL} none.csv`, 2, "no such file", "none.csv"],
    [`${MODEL} empty.csv`, 1, "file is empty", "empty.csv", "at least one row"],
    // Before training.
    [`${GOOD} --out good.csv/run`, 2, "output directory cannot be created", "good.csv/run"],
  ] as [string, 1 | 2, ...string[]][]) {
    const out = args.includes("--out") ? "" : " --out run";
    assertRefused(await runCommand("train", `${args}${out}`.split(" "), { cwd: folder }), before, code, words);
  }
});

test("classify and generate refuse what is no run, no model of theirs, and invalid flags", async () => {
  mkdirSync(join(folder, "notes"));
  write("notes/todo.txt", "");
  const before = filesIn(folder);
  const [classifier, base] = ["c_attn", "base"].map((name) => packagePath(`test/golden/peft/${name}`));
  for (const [line, ...words] of [
    ["classify --run nowhere x", "no trained model", "lowrank.json", "no such directory"],
    ["classify --run good.csv x", "no trained model", "lowrank.json", "found:    a file"],
    ["classify --run notes x", "no trained model", "lowrank.json", "found:    todo.txt"],
    ["classify --run nowhere notes", "cannot read notes", "found:    a directory"],
    ["classify x", "--run DIR or --adapter DIR"],
    ["classify --run notes --jsno x", "--jsno", "Did you mean --json?"],
    ["generate --run nowhere x", "no trained model", "no such directory"],
    [`generate --adapter ${classifier} --model ${base} x`, "writes no text", "CAUSAL_LM", "SEQ_CLS", "classify"],
    ["generate --run a --adapter b x", "--run and --adapter exclude each other", "--run DIR or --adapter DIR", "both"],
    ["generate --model model --top-k 3 x", "need a temperature"],
    ["generate --model model --temprature 3 x", "--temprature", "Did you mean --temperature?"],
  ] as [string, ...string[]][]) {
    const [command, ...args] = line.split(" ") as ["classify" | "generate", ...string[]];
    assertRefused(await runCommand(command, args, { cwd: folder }), before, 2, words);
  }
});

test("invalid rows are refused or skipped, which is reported once", async () => {
  // More valid characters than invalid ones: damaged UTF-8.
  const more = Buffer.from("ham,caf\xe9 bar\nspam,prize \xff\n", "latin1");
  write("damaged.csv", Buffer.concat([Buffer.from(`${messages(20)}ham,größer\nspam,über\n`), more]));
  const args = `${MODEL} damaged.csv --epochs 1 --threads 1 --mode last_layer --out skipped`.split(" ");
  const words = ["not UTF-8", "damaged.csv:44", "--encoding windows-1252"];
  assertRefused(await runCommand("train", args, { cwd: folder }), filesIn(folder), 1, words);
  const finished = await runCommand("train", [...args, "--skip-faulty"], { cwd: folder });
  assertCode(finished, 0);
  for (const reported of [/2 invalid rows were skipped/g, /damaged\.csv:44: The text is not UTF-8/g])
    assert.is(finished.stdout.match(reported)?.length, 1, String(reported));
});
