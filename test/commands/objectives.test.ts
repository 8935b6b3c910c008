/** train, classify, export and sweep of scores, several labels a message, pairs of texts, language models, and tags. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { savedTables } from "../helpers/markup.ts";
import { assertCode, filesIn, parseTable, runCommand } from "../helpers/spawn.ts";
import { messages, spelled, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
const rows = (label: (i: number) => string) =>
  `label,text\n${Array.from({ length: 40 }, (_, i) => `${label(i)},"message ${spelled(i)}${" please".repeat(i % 4)}"`).join("\n")}\n`;
writeFileSync(
  join(folder, "scores.csv"),
  rows((i) => String(i % 4)),
);
writeFileSync(
  join(folder, "labels.csv"),
  rows((i) => ["red|blue", "red", "", "blue"][i % 4]!),
);

/** Runs a command line; `texts` are further arguments. */
function run(line: string, ...texts: string[]) {
  const [name, ...args] = line.split(" ");
  return runCommand(name as "train", [...args, ...texts], { cwd: folder });
}
const CPU = ["--device", "wasm", "--threads", "1"];
const SETTINGS = "--model model --device wasm --threads 1 --epochs 1 --batch-size 4";

test("regression: a run directory, scores of texts and of a table", async () => {
  const { stdout, ...rest } = await run(`train scores.csv --objective regression ${SETTINGS} --out scores`);
  assertCode({ stdout, ...rest }, 0);
  assert.match(stdout, /RMSE \S+ on 8 test messages.*too few to tell/);
  assert.match(stdout, "always the mean");
  assert.ok(filesIn(join(folder, "scores")).includes("predictions.csv"));
  const texts = await run("classify --run scores --device wasm --threads 1", "message please", " ");
  assert.match(texts.stdout, /^-?\d+\.\d{4}\tmessage please\n\t \n$/);
  assert.match(texts.stderr, "1 of 2 texts are empty and have no score");
  const labelled = await run("classify --run scores --device wasm --threads 1 --in scores.csv --out out.csv");
  assertCode(labelled, 0);
  assert.match(labelled.stderr, "with column score");
  assert.match(readFileSync(join(folder, "out.csv"), "utf8").split("\n")[0]!, "label,text,score");
  const classic = await run("classify --run scores --classic", "message please");
  assert.match(classic.stdout, /^-?\d+\.\d{4}\tmessage please\n$/);
  assertCode(await run("export --run scores --to merged --out merged"), 0);
  assert.is(JSON.parse(readFileSync(join(folder, "merged/config.json"), "utf8")).problem_type, "regression");
});

test("several labels: those above their thresholds, in text and JSON", async () => {
  const { stdout, ...rest } = await run(
    `train labels.csv --objective multi-label ${SETTINGS} --threshold f1 --out labels`,
  );
  assertCode({ stdout, ...rest }, 0);
  assert.match(stdout, /Micro F1 \S+\s%, and exactly its labels for/);
  const { stdout: json } = await run("classify --run labels --device wasm --threads 1 --json", "message please");
  const { labels, probabilities } = JSON.parse(json);
  const { results } = JSON.parse(readFileSync(join(folder, "labels/run.json"), "utf8"));
  const names = Object.keys(probabilities);
  assert.equal(names, ["blue", "red"]);
  assert.equal(
    labels,
    names.filter((name, i) => probabilities[name] >= results.decision.thresholds[i]),
  );
});

test("train --mode classic: classes, labels, scores and pairs, with neither a model nor a device", async () => {
  for (const [file, objective, measure] of [
    ["scores.csv", "regression", /RMSE \S+ on 8 test messages/],
    ["labels.csv", "multi-label", /Micro F1 \S+\s%, and exactly its labels for/],
    ["german.csv", "classification", /\d+ of \d+ test messages right/],
  ] as const) {
    const out = `classic-${objective}`;
    const columns = file === "german.csv" ? ["--text-column", "frage,antwort"] : [];
    const trained = await run(`train ${file} --objective ${objective} --mode classic --out ${out}`, ...columns);
    assertCode(trained, 0);
    assert.match(trained.stdout, measure);
    assert.match(trained.stdout, /^model: TF-IDF with a linear model$/m);
    assert.not.match(trained.stdout + trained.stderr, /undefined|NaN|\[object|token table/);
    const record = JSON.parse(readFileSync(join(folder, out, "run.json"), "utf8"));
    assert.equal([record.state, record.options.mode, record.device, record.model], ["finished", "classic", null, ""]);
    assert.equal([...Object.keys(record.files), "run.json"], filesIn(join(folder, out)));
    const { before, after, test } = record.results;
    assert.ok(after.train.loss < before.train.loss && test.compared.length === 2, JSON.stringify(after));
    const labelled = await run(`classify --run ${out} --in ${file} --out ${out}.csv`);
    assertCode(labelled, 0);
  }
});

test("a sweep of regressions compares their RMSE", async () => {
  const grid = "--grid rank=1,2 --seeds 1 --out sweep";
  const { stdout, ...rest } = await run(`sweep --data scores.csv --objective regression ${SETTINGS} ${grid}`);
  assertCode({ stdout, ...rest }, 0);
  assert.match(stdout, /validation RMSE \S+, test RMSE/);
  assert.match(
    readFileSync(join(folder, "sweep/report.md"), "utf8"),
    /Test RMSE.*the paired bootstrap: the difference on up to/s,
  );
});

test("a column of numbers among classes is read as scores, which is said", async () => {
  const many = Array.from({ length: 30 }, (_, i) => `${i / 7},text ${i}`).join("\n");
  writeFileSync(join(folder, "many.csv"), `label,text\n${many}\n`);
  const scores = await run(`train many.csv --plan ${SETTINGS}`);
  assertCode(scores, 0);
  assert.match(scores.stderr, /^read with --objective regression: The label column "label" has 30 different numbers/m);
});

const PAIRS = Array.from({ length: 40 }, (_, i) => [`Is it ${i}?`, `Yes, it is ${i % 7}`, i % 2 ? "yes" : "no"]);
const csv = (names: string[]) =>
  `${[names, ...PAIRS].map((row) => row.map((field) => `"${field}"`).join(",")).join("\r\n")}\r\n`;
writeFileSync(join(folder, "german.csv"), csv(["frage", "antwort", "label"]));
writeFileSync(join(folder, "pairs.csv"), csv(["question", "answer", "label"]));

const classify = (args: string[], input = "") =>
  runCommand("classify", ["--run", "pairs", ...CPU, ...args], { cwd: folder, input });
const lines = (text: string) => text.trimEnd().split("\n");

test("train says which columns it took, and how to try the run", async () => {
  const done = await run(`train german.csv --text-column frage,antwort ${SETTINGS} --out pairs`);
  assertCode(done, 0);
  assert.match(done.stdout, /pairs of texts: columns frage and antwort/);
  assert.match(done.stdout, /try it: .*--run pairs --pair ".+" ".+"/);
});

test("classify --pair: arguments by twos, a line with a tab, JSON; a table by the training's columns", async () => {
  const two = await classify(["--pair", "Is it 1?", "Yes", "Is it 2?", "No"]);
  assertCode(two, 0);
  assert.match(two.stdout, /^(yes|no)\t[01]\.\d{4}\tIs it 1\?\tYes\b.*\n(yes|no)\t[01]\.\d{4}\tIs it 2\?\tNo\b.*\n$/);
  const piped = await classify(["--pair"], "Is it 1?\tYes\nIs it 2?\tNo\n");
  assert.is(piped.stdout, two.stdout);
  const json = await classify(["--pair", "--json", "Is it 1?", "Yes"]);
  assert.equal(JSON.parse(json.stdout).text, ["Is it 1?", "Yes"]);
  const labelled = await classify(["--in", "german.csv", "--out", "labelled.csv"]);
  assertCode(labelled, 0);
  assert.match(labelled.stderr, /40 rows, texts in column "frage,antwort"/);
  const [, row] = lines(readFileSync(join(folder, "labelled.csv"), "utf8"));
  assert.match(row!, /^"Is it 0\?","Yes, it is 0","no",(yes|no),[01]\.\d{6}\r$/);
  const classic = await classify(["--classic", "--in", "german.csv", "--out", "classic.csv"]);
  assertCode(classic, 0);
  assert.match(classic.stderr, /40 rows, texts in column "frage,antwort"/);
  const shown = lines((await classify(["pairs.csv"])).stdout);
  const [label, , first, second] = shown[0]!.split("\t");
  assert.equal([label, first, second], [row!.split(",").at(-2), ...PAIRS[0]!.slice(0, 2)]);
});

writeFileSync(join(folder, "a.txt"), "the cat sat on the mat.\n".repeat(40));
writeFileSync(join(folder, "b.txt"), "the dog sat on the log.\n".repeat(20));
writeFileSync(join(folder, "messages.csv"), messages(8));
const LM = ["--objective", "lm", "--model", "model", "--max-length", "16", "--batch-size", "4", ...CPU];
const RUN = [...LM, "--data", "a.txt", "--data", "b.txt", "--epochs", "2"];

const train = (args: string[]) => runCommand("train", args, { cwd: folder });
const read = (...path: string[]) => readFileSync(join(folder, ...path), "utf8");

test("a run directory has perplexity instead of accuracy", async () => {
  const finished = await train([...RUN, "--out", "lm"]);
  assertCode(finished, 0);
  assert.equal(filesIn(join(folder, "lm")), [
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "adapter/lowrank.json",
    "report.html",
    "run.json",
  ]);
  const [head, ...losses] = parseTable(savedTables(read("lm", "report.html")).get("losses.csv")!);
  assert.is(head!.join(), "step,epoch,examples_seen,lr,train_loss,val_loss,train_ppl,val_ppl,val_bpb,grad_norm");
  for (const row of losses) {
    const [loss, perplexity] = ["val_loss", "val_ppl"].map((column) => Number(row[head!.indexOf(column)]));
    assert.is(perplexity, Math.exp(loss!));
  }
  assert.ok(Number(losses.at(-1)![head!.indexOf("val_ppl")]) < Number(losses[0]![head!.indexOf("val_ppl")]));
  const config = JSON.parse(read("lm", "run.json"));
  assert.equal(
    [config.objective, config.data.file, config.labels],
    ["lm", [join(folder, "a.txt"), join(folder, "b.txt")], []],
  );
  assert.is(JSON.parse(read("lm", "adapter", "adapter_config.json")).task_type, "CAUSAL_LM");
  assert.match(
    finished.stdout,
    /sets: training \d+, validation \d+.* blocks\n(.*\n)*.*│ +Perplexity │(.*\n)*│ before training │/,
  );
  const { samples } = config.results.test;
  assert.is(samples.length, 2);
  for (const { text, truth, predicted, before } of samples) {
    assert.match(text, /(the|on) (cat|dog|mat|log)/);
    assert.match(truth, /(cat|dog) sat on/);
    assert.ok([predicted, before].every((written) => typeof written === "string" && written.length > 0));
  }
  const prompt = samples.map(({ text }: { text: string }) => text.replaceAll(/\s+/g, " ").trim());
  const tried = /^try it: {2}node \S+dist.generate\.js --run lm "(.*)"$/m.exec(finished.stdout)?.[1];
  assert.ok(prompt.includes(tried?.trim()), `${tried}, of ${prompt}`);
  assert.match(finished.stdout, /│ Before training │ .*\n│ After training +│/);
  assert.not.match(finished.stdout + finished.stderr, /undefined|NaN|\[object|accuracy/);
  const classic = await runCommand("classify", ["--run", "lm", "--classic", "x"], { cwd: folder });
  assertCode(classic, 2);
  assert.match(classic.stderr, /there is no classic model.*runs that classify or score messages/s);
});

const SENTENCES = [
  ["Ann Lee lives in Rome .", "B-PER I-PER O O B-LOC O"],
  ["we met Ann yesterday", "O O B-PER O"],
  ["the weather in San Juan is fine", "O O O B-LOC I-LOC O O"],
].map(([words, tags]) => [words!.split(" "), tags!.split(" ")] as const);
const conll = (count: number) =>
  Array.from({ length: count }, (_, i) => {
    const [words, tags] = SENTENCES[i % 3]!;
    return `${words.map((word, at) => `${word} ${tags[at]}\n`).join("")}${spelled(i)} O\n`;
  }).join("\n");
writeFileSync(join(folder, "words.conll"), conll(40));
const TAGS = `--objective tokens ${SETTINGS.replace("--epochs 1", "--epochs 12 --lr 0.02")}`;

test("tags: entities of a text, and of tables in CSV and JSON lines", async () => {
  const done = await run(`train words.conll ${TAGS} --out tags`);
  assertCode(done, 0);
  assert.match(done.stdout, /Entity F1 \S+\s% on 8 test sentences, \S+\s% of their words with the right tag: too few/);
  assert.match(done.stdout, "the most frequent tag of each word");
  assert.match(read("tags", "report.html"), /<th scope="col">Type<\/th><th scope="col" class="n">Entities<\/th>/);
  assert.match(done.stdout, /try it: .*--run tags "Ann Lee lives in Rome \. \w+"/);
  assert.not.match(done.stdout + done.stderr, /undefined|NaN|\[object|messages/);
  const config = JSON.parse(read("tags", "adapter", "adapter_config.json"));
  assert.is(config.task_type, "TOKEN_CLS");
  const { measured } = JSON.parse(read("tags", "run.json")).results.test.compared[0];
  assert.is(measured.entity_f1.value, 1);

  const texts = await run(`classify --run tags ${CPU.join(" ")}`, "Ann Lee lives in Rome.", "the weather is fine", " ");
  assertCode(texts, 0);
  assert.equal(lines(texts.stdout)[0], "PER: Ann Lee|LOC: Rome\tAnn Lee lives in Rome.");
  const json = await run(`classify --run tags --json ${CPU.join(" ")}`, "we met Ann yesterday");
  const [{ label, text, start, end, probability }] = JSON.parse(json.stdout).entities;
  assert.equal([label, text, start, end], ["PER", "Ann", 7, 10]);
  assert.ok(probability > 0.5 && probability <= 1);

  writeFileSync(join(folder, "texts.csv"), 'id,text\n1,"we met Ann yesterday"\n2,\n');
  writeFileSync(join(folder, "texts.jsonl"), '{"text":"we met Ann yesterday"}\n');
  for (const name of ["texts.csv", "texts.jsonl"])
    assertCode(await run(`classify --run tags ${CPU.join(" ")} --in ${name} --out tagged-${name}`), 0);
  const { entities } = JSON.parse(read("tagged-texts.jsonl"));
  const quoted = `"${entities.replaceAll('"', '""')}"`;
  assert.is(read("tagged-texts.csv"), `id,text,entities\n1,"we met Ann yesterday",${quoted}\n2,,\n`);
  assert.equal(
    JSON.parse(entities).map((one: { text: string }) => one.text),
    ["Ann"],
  );
  assertCode(await run("export --run tags --to peft --out tags-peft"), 0);
  const card = read("tags-peft", "README.md");
  assert.match(card, /metrics: \["f1"\]/);
  assert.match(card, "tags each word of sentences with one of 5 tags");
  assert.not.match(card, /null|undefined|pooling/);
});

test("what an objective has not, and what is not of its kind, is refused by name", async () => {
  const lm = `train ${RUN.join(" ")}`;
  const table = "train --model model --data messages.csv";
  const classify = `classify --run pairs ${CPU.join(" ")}`;
  const classic = "train --mode classic";
  for (const [line, words, code = 2, input = ""] of [
    [
      `${classic} --objective lm --data a.txt`,
      "--mode classic is for labels and scores of whole texts.*a language model",
    ],
    [`${classic} --data scores.csv --epochs 3`, "--epochs has no effect in --mode classic"],
    [`${classic} --data scores.csv --set warmup=0`, "--warmup has no effect in --mode classic"],
    [`${classic} --data scores.csv --seeds 3`, "--seeds has no effect in --mode classic"],
    [`${classify} --pair a b c`, "--pair needs two texts each.*3 texts"],
    [`${classify} --pair`, "--pair needs two texts each.*no tab", 2, "a\tb\nno tab\n"],
    [`${classify} a b`, "the model reads pairs of texts.*--pair"],
    [`${classify} --classic a b`, "the model reads pairs of texts.*--pair"],
    [`${classify} --pair --in pairs.csv`, "--pair is for texts, not for a table"],
    [`${lm} --set balance=true`, "--set balance is invalid for a language model.*texts have no classes"],
    [`${lm} --split stratified`, "--split.*settings of a language model: --data, --dataset"],
    [`train ${LM.join(" ")}`, "one of --data and --dataset.*none of them"],
    [`${table} --stride 4`, "--stride.*messages are not cut into blocks"],
    [`${table} --data a.txt`, "accepts a single file"],
    [
      `train words.conll ${TAGS} --pooling mean`,
      "--pooling is invalid for a token classifier: every word is classified",
    ],
    [`train --dataset sms ${TAGS}`, "--dataset is invalid for a token classifier: sentences are read from files"],
    [`train scores.csv ${TAGS}`, "a word without a tag.*scores\\.csv:1", 1],
    ["export --run tags --to onnx --out none", "outputs of whole texts alone.*--to merged or --to peft"],
    ["export --run tags --to gguf --out none", "llama\\.cpp cannot classify.*use --to merged or --to peft"],
  ] as [string, string, number?, string?][]) {
    const [name, ...args] = `${line}${line.startsWith("train") ? " --out refused" : ""}`.split(" ");
    const refused = await runCommand(name as "train", args, { cwd: folder, input });
    assertCode(refused, code);
    assert.match(refused.stderr, new RegExp(words, "s"));
  }
});

test("check prints what it finds and a command, which trains; without one its exit code is 1", async () => {
  writeFileSync(
    join(folder, "tickets.csv"),
    rows((i) => ["red|blue", "red", "green|red", "blue"][i % 4]!).replace("label,text", "colours,said"),
  );
  const checked = await run(`check tickets.csv ${SETTINGS}`);
  assertCode(checked, 0);
  assert.match(checked.stdout, /│ colours │ label .*\n│ said +│ text /);
  assert.match(checked.stdout, /"\|" between several labels .* -> --objective multi-label\n/);
  assert.match(checked.stdout, /training takes \S+ .*, and about \d+ s on CPU/);
  const command = checked.stdout.trimEnd().split("\n").at(-1)!;
  assert.match(command, /^node .*train\.js tickets\.csv .*--objective multi-label --device wasm --threads 1$/);
  const [, args] = command.split("train.js ");
  assertCode(await run(`train ${args} --out checked`), 0);
  const json = JSON.parse((await run(`check tickets.csv ${SETTINGS} --json`)).stdout);
  assert.equal([json.command, json.trains, json.settings.objective], [command, true, "multi-label"]);
  assert.equal(json.problems[0].settings, { objective: "multi-label" });
  writeFileSync(
    join(folder, "one.csv"),
    rows(() => "red"),
  );
  const refused = await run("check one.csv --model model");
  assertCode(refused, 1);
  assert.match(refused.stdout, "It cannot be trained on as it is");
  assert.match(refused.stdout, "All rows have the same class");
});
