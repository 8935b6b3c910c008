/** train --objective lm as shipped: its output, its files, its errors. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, filesIn, readTable, runCommand } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "a.txt"), "the cat sat on the mat.\n".repeat(60));
writeFileSync(join(folder, "b.txt"), "the dog sat on the log.\n".repeat(30));
writeFileSync(join(folder, "messages.csv"), messages(8));
const CPU = ["--device", "wasm", "--threads", "1"];
const LM = ["--objective", "lm", "--model", "model", "--max-length", "16", "--batch-size", "4", ...CPU];
const RUN = [...LM, "--data", "a.txt", "--data", "b.txt", "--epochs", "2"];

const train = (args: string[]) => runCommand("train", args, { cwd: folder });
const read = (...path: string[]) => readFileSync(join(folder, ...path), "utf8");
const table = (...path: string[]) => readTable(join(folder, ...path));

test("a run directory has perplexity instead of accuracy", async () => {
  const finished = await train([...RUN, "--out", "first"]);
  assertCode(finished, 0);
  assert.equal(filesIn(join(folder, "first")), [
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "adapter/lowrank.json",
    "loss.svg",
    "losses.csv",
    "metrics.csv",
    "perplexity.svg",
    "plan.txt",
    "run.json",
    "texts.csv",
  ]);
  const [columns, values] = table("first", "metrics.csv");
  assert.is(
    columns!.join(),
    "rank,alpha,trainable_layers,lr,weight_decay,num_epochs,pre_train_ppl,pre_val_ppl,pre_test_ppl,final_train_ppl," +
      "final_val_ppl,final_test_ppl,final_val_bpb,final_test_bpb,train_loss_last,val_loss_last,examples_seen,minutes",
  );
  const value = (column: string) => Number(values![columns!.indexOf(column)]);
  assert.ok(value("final_val_ppl") < value("pre_val_ppl"));
  const [head, ...losses] = table("first", "losses.csv");
  assert.is(head!.join(), "step,epoch,examples_seen,lr,train_loss,val_loss,train_ppl,val_ppl,val_bpb,grad_norm");
  for (const row of losses) {
    const [loss, perplexity] = ["val_loss", "val_ppl"].map((column) => Number(row[head!.indexOf(column)]));
    assert.is(perplexity, Math.exp(loss!));
  }
  const config = JSON.parse(read("first", "run.json"));
  assert.equal(
    [config.objective, config.data.file, config.labels],
    ["lm", [join(folder, "a.txt"), join(folder, "b.txt")], []],
  );
  assert.is(JSON.parse(read("first", "adapter", "adapter_config.json")).task_type, "CAUSAL_LM");
  assert.match(finished.stdout, /Training +│ +2 │.*\n.*Validation.*\n(.*\n)*.*Perplexity before/);
  assert.match(finished.stdout, "PEFT can load its adapter/");
  assert.match(finished.stdout, /^try it: {2}node \S+dist.generate\.js --run first "The"$/m);
  assert.not.match(finished.stdout + finished.stderr, /undefined|NaN|\[object|accuracy/);
});

test("flags that are invalid for texts, or only valid for texts, are refused by name", async () => {
  const refuses = async (words: string[], args: string[], code = 2) => {
    const finished = await train([...args, "--out", "refused"]);
    assertCode(finished, code);
    for (const word of words) assert.match(finished.stderr, word);
  };
  await refuses(["balance", "split"], [...RUN, "--no-balance", "--split", "stratified"]);
  await refuses(['"sms" is not a data set for a language model'], [...LM, "--dataset", "sms"]);
  await refuses(["--data FILE", "none of them"], LM);
  await refuses(["--stride", "--objective lm"], ["--model", "model", "--data", "messages.csv", "--stride", "4"]);
  await refuses(["a single file of messages"], ["--model", "model", "--data", "messages.csv", "--data", "a.txt"]);
  await refuses(["needs text, not a table"], [...LM, "--data", "messages.csv"], 1);
});
