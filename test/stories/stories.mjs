/**
 * What people do with the program, a line each: what it is, and the commands or the script that do it. A feature that
 * comes brings its line; what no line runs is asked about. Files are those of files.child.ts; runs of earlier lines are
 * used by later ones.
 *
 * A command that ends with " !" is interrupted by Ctrl-C after its first step, one that ends with " ?" is refused with an
 * error; " < FILE" is its standard input.
 */
const SMALL = "--model gpt2-micro --epochs 1 --max-length 32";

const LIBRARY = `
  import { load, train } from "lowrank";
  const rows = MAILS.slice(12, 48);
  await using model = await train(rows, { model: "gpt2-micro", epochs: 1, onProgress: () => {} });
  await model.classify(["See you at noon", "Free entry"], { minProbability: 0.5 });
  await model.learn([{ text: "where is my parcel", label: "post" }, { text: "no parcel yet", label: "post" }]);
  await model.save("models/mails", { rows: true });
  await using again = await load("models/mails");
  await again.classify("See you at noon");
  await load(await model.toBlob());
`;

/** Ten main jobs. */
export const MAIN = [
  [
    "what is wrong with my table, and how do I train on it?",
    "check mails.csv",
    "check no-column.csv",
    "check doubles.csv",
  ],
  ["train a classifier on my table", "train mails.csv --out runs/mails"],
  [
    "classify texts, and label a table",
    'classify --run runs/mails "See you at noon"',
    "classify --run runs/mails --in unlabelled.csv --out labelled.csv",
  ],
  [
    "put it into a page",
    `train mails.csv ${SMALL} --out runs/for-page`,
    "export --run runs/for-page --to page --out exports/page",
  ],
  [
    "give it to PEFT",
    "train mails.csv --mode lora --epochs 1 --max-length 32 --out runs/lora",
    "export --run runs/lora --to peft --out exports/peft",
  ],
  [
    "fine-tune a language model, and write with it",
    `train book.txt --objective lm ${SMALL} --out runs/book`,
    'generate --run runs/book --max-new-tokens 8 "Everyone has"',
  ],
  ["predict a score", `train scores.csv --objective regression ${SMALL} --out runs/scores`],
  ["find entities", `train entities.conll --objective tokens ${SMALL} --out runs/entities`],
  ["which settings? a grid", "sweep mails.csv --model gpt2-micro --epochs 1 --grid rank=2,4 --seeds 2 --out runs/grid"],
  ["train and learn on, in a program", { script: LIBRARY }],
];

const PIECES = `
  import { loadDataset, loadTagged, loadTexts, Tokenizer } from "lowrank/data";
  import { Classifier, ClassicModel, fineTune, LanguageModel, loadModel, openDevice } from "lowrank/engine";
  const tokenizer = await Tokenizer.load();
  tokenizer.decode(tokenizer.encode("Hello, world!"));
  const device = await openDevice("wasm");
  const model = await loadModel("gpt2-micro");
  const options = { device, model, epochs: 1 };
  const data = await loadDataset({ file: "mails.csv" }, { model, maxLength: 32 });
  const run = await fineTune({ ...options, data, onEvent: () => {}, save: "runs/library" });
  const classifier = await Classifier.of(run.adapter, model, device);
  await Promise.all([classifier.classify("See you at noon"), classifier.classify("Free entry, reply now")]);
  const second = await Classifier.load("runs/library", { device });
  await second.classify("See you");
  await (await ClassicModel.load("runs/library")).classify("See you at noon");
  const texts = await loadTexts({ rows: BOOK.map((text) => ({ text })) }, { model, maxLength: 32 });
  const written = await fineTune({ ...options, data: texts, save: "runs/written" });
  const lm = await LanguageModel.load("runs/written", { device });
  for await (const chunk of lm.generate(["Everyone has", "No one"], { maxNewTokens: 4 })) void chunk;
  await lm.score("Everyone has the right to life.");
  const tagged = await loadTagged({ file: "entities.conll" }, { model, maxLength: 32 });
  const tagger = await fineTune({ ...options, data: tagged });
  await (await Classifier.of(tagger.adapter, model, device)).tag(["Ann Lee went to Rome"]);
  await classifier.influences?.("See you");
  device.destroy();
`;

/** Other kinds of models, from a site and in a file, and what is refused. */
const KINDS = `
  import { load, train } from "lowrank";
  const small = { model: "gpt2-micro", epochs: 1 };
  await using scores = await train(MAILS.map(({ text }) => ({ text, label: text.length })), { objective: "regression", ...small });
  await scores.score(["hello"]);
  await using tags = await train(MAILS.map(({ text }) => ({ words: ["Ann", ...text.split(" ").slice(0, 4)], tags: ["B-PER", "O", "O", "O", "O"] })), { objective: "tokens", ...small });
  await tags.tag("Ann said hello");
  await using writer = await train(BOOK.map((text) => ({ text })), { objective: "lm", ...small });
  await writer.generate("Everyone has", { maxNewTokens: 4 });
  void [scores.labels, scores.objective, scores.device, scores.adapter];
  await using named = await train("mails.csv", small);
  await named.learn("table.jsonl");
  await using served = await load(SITE + "/models/mails");
  await served.classify("See you at noon");
  await using other = await load(SITE + "/exports/peft-micro", { model: "gpt2-micro" });
  await other.classify("See you at noon");
  for (const wrong of [() => load("models/none"), () => load(SITE + "/none"), () => named.save("models/mails"), () => named.generate("x"), () => train([{ text: 1 }])])
    await wrong().then(() => { throw new Error("not refused"); }, () => {});
`;

const SEVERAL = `
  import { loadDataset } from "lowrank/data";
  import { crossValidate, loadModel, openDevice, study } from "lowrank/engine";
  const device = await openDevice("wasm");
  const model = await loadModel("gpt2-micro");
  const data = await loadDataset({ file: "mails.csv" }, { model, maxLength: 32 });
  const trials = await study({ device, model, data, runs: [{ rank: 2, epochs: 1 }, { rank: 4, epochs: 1 }], save: "runs/study" });
  trials.report.toMarkdown();
  trials.report.toHtml();
  const all = await loadDataset({ rows: MAILS }, { model, maxLength: 32, fractions: [1, 0, 0] });
  await crossValidate({ device, model, data: all, folds: 2, epochs: 1 });
  device.destroy();
`;

/** Files that a command refuses, and why is said. */
const refused = (command, flags) =>
  [
    ...["one-class", "all-different", "single", "one-column", "fields", "quote", "empty"].map((name) => `${name}.csv`),
    ...["page.pdf", "broken.jsonl", "no-text.jsonl", "unclosed.json", "null.jsonl", "broken.xlsx", "broken.parquet"],
    ...[
      "numbers.csv --objective classification",
      "bad-score.csv --objective regression",
      "same-score.csv --objective regression",
      "broken.conll --objective tokens",
    ],
    ...["mails.csv --objective lm", "no-text.jsonl --objective lm", "mails.csv --label-column text --text-column text"],
  ].map((file) => `${command} ${file} ${flags} ?`);

/** Further ones. */
export const FURTHER = [
  [
    "LoRA of gpt2-micro",
    `train mails.csv ${SMALL} --out runs/mails-micro`,
    "export --run runs/mails-micro --to peft --out exports/peft-micro",
  ],
  [
    "measure on all rows, and find wrong labels",
    `train mails.csv ${SMALL} --folds 2 --out runs/folds`,
    "classify --run runs/folds hello",
  ],
  ["train with corrected labels", `train mails.csv ${SMALL} --corrections review.csv --out runs/corrected`],
  ["is it luck? several seeds", `train mails.csv ${SMALL} --seeds 2 --out runs/seeds`],
  ["the best in some minutes", "sweep mails.csv --minutes 0.4 --out runs/minutes"],
  [
    "a part of a grid on each machine",
    "sweep mails.csv --model gpt2-micro --epochs 1 --grid rank=2,4 --shard 1/2 --out runs/shard",
  ],
  [
    "collect the parts",
    "sweep mails.csv --model gpt2-micro --epochs 1 --grid rank=2,4 --collect runs/shard --out runs/collected",
  ],
  [
    "the published experiment",
    "train --preset paper --model gpt2-micro --data mails.csv --val val.csv --test val.csv --epochs 1 --out runs/paper",
  ],
  [
    "several labels a message",
    `train kinds.csv --objective multi-label ${SMALL} --out runs/kinds`,
    "classify --run runs/kinds hello",
  ],
  [
    "does it answer the question? pairs",
    `train pairs.csv ${SMALL} --out runs/pairs`,
    "classify --run runs/pairs --pair hello world",
  ],
  [
    "without a model: words alone",
    "train mails.csv --mode classic --out runs/classic",
    'classify --run runs/classic "See you"',
  ],
  [
    "rather precise than complete",
    `train mails.csv ${SMALL} --threshold precision=.9 --calibrate --out runs/threshold`,
  ],
  ["BitFit", `train mails.csv ${SMALL} --mode bitfit --out runs/bitfit`],
  ["full fine-tuning", `train mails.csv ${SMALL} --mode all --out runs/full`],
  ["the last block", `train mails.csv ${SMALL} --mode last_block --out runs/last-block`],
  ["the last layer", `train mails.csv ${SMALL} --mode last_layer --out runs/last-layer`],
  ["adapter layers", `train mails.csv ${SMALL} --mode adapter --out runs/adapter-layers`],
  ["prompt tuning", `train mails.csv ${SMALL} --mode prompt --virtual-tokens 4 --out runs/prompt`],
  ["prefix tuning", `train mails.csv ${SMALL} --mode prefix --virtual-tokens 4 --out runs/prefix`],
  ["DoRA with dropout", `train mails.csv ${SMALL} --dora --dropout .1 --out runs/dora`],
  [
    "how much memory, how much time?",
    "train mails.csv --plan",
    "sweep mails.csv --preset methods --model gpt2-micro --epochs 1 --max-length 32 --plan",
  ],
  ["a model for transformers", "export --run runs/mails-micro --to merged --out exports/merged"],
  ["ONNX for a page of transformers.js", "export --run runs/mails-micro --to onnx --out exports/onnx"],
  ["GGUF for llama.cpp", "export --run runs/book --to gguf --dtype q8 --out exports/gguf"],
  ["go on from an adapter of PEFT", `train mails.csv ${SMALL} --adapter exports/peft-micro --out runs/continued`],
  ["classify by an adapter of PEFT", "classify --adapter exports/peft-micro --model gpt2-micro hello"],
  ["what shall I label next?", "classify --run runs/mails-micro --in unlabelled.csv --out todo.csv --order doubt"],
  [
    "vectors for a search",
    "embed unlabelled.csv --out vectors.npy",
    "embed unlabelled.csv --model gpt2-micro --out vectors.csv",
    "embed unlabelled.csv --model gpt2-micro --dtype int16 --out vectors.parquet",
    "embed unlabelled.csv --model gpt2-micro --out vectors.txt ?",
  ],
  [
    "only sure answers, as JSON, by words",
    "classify --run runs/mails-micro --json --min-probability .9 hello",
    "classify --run runs/mails-micro --classic hello",
  ],
  [
    "an Excel sheet",
    `train mails.xlsx ${SMALL} --out runs/excel`,
    "classify --run runs/excel --in mails.xlsx --out excel.csv",
  ],
  ["a Parquet file", "check texts.parquet", `train texts.parquet ${SMALL} --train-rows 20 --out runs/parquet`],
  [
    "JSON lines",
    `train mails.jsonl ${SMALL} --out runs/jsonl`,
    "classify --run runs/jsonl --in mails.jsonl --out labelled.jsonl",
  ],
  ["a folder of texts", `train folder ${SMALL} --out runs/folder`],
  ["a table of Excel in windows-1252", `train latin.csv --encoding windows-1252 ${SMALL} --out runs/latin`],
  [
    "chats and instructions",
    `train chat.jsonl --objective lm --model chat-model --epochs 1 --max-length 64 --out runs/chat`,
    "generate --run runs/chat --chat --temperature .8 --top-p .9 --seed 2 --max-new-tokens 8 Hi",
  ],
  ["8 bits", `train mails.csv ${SMALL} --dtype q8 --out runs/q8`],
  ["integers", `train mails.csv ${SMALL} --dtype int16 --out runs/int16`],
  [
    "stop it, and resume",
    `train mails.csv --model gpt2-micro --epochs 5 --out runs/stopped !`,
    "train --resume runs/stopped",
  ],
  [
    "a model of the hub",
    `train mails.csv --model openai/tiny ${SMALL.replace("--model gpt2-micro", "")} --out runs/hub`,
  ],
  ["a data set of the hub", `train --dataset ucirvine/sms_spam ${SMALL} --train-rows 20 --out runs/hub-data`],
  ["what can my machine do?", "train --device list"],
  ["data, runs and models, in a program", { script: PIECES }],
  ["studies and folds, in a program", { script: SEVERAL }],
  ["other kinds of models, in a program", { script: KINDS }],
  ["several files, some wrong, and columns by name", ...refused("train", SMALL)],
  [
    "what else is wrong with my table?",
    ...["numbers.csv", "combined.csv", "instructions.jsonl", "entities.conll", "book.txt"].map(
      (file) => `check ${file} --model gpt2-micro`,
    ),
    "check mails.csv --model gpt2-micro --max-length 16 --json",
    "check one-class.csv ?",
    "check one-column.csv ?",
    "check chat.jsonl --model gpt2-micro ?",
  ],
  [
    "skip what is wrong",
    `train single.csv ${SMALL} --skip-faulty --dedupe --out runs/skipped`,
    `train fields.csv ${SMALL} --skip-faulty --out runs/fields`,
  ],
  [
    "a column for each label",
    `train flags.csv --objective multi-label --label-column red,blue --threshold f1 ${SMALL} --out runs/flags`,
  ],
  ["decimal commas", `train bad-score.csv --objective regression --skip-faulty ${SMALL} --out runs/commas`],
  ["many classes", `train many.csv ${SMALL} --threshold none --out runs/many`],
  [
    "what a file needs is taken, and said",
    `train sheets.xlsx ${SMALL} --out runs/sheets`,
    `train latin-bad.csv ${SMALL} --out runs/latin-bad`,
    `train numbers.csv ${SMALL} --out runs/numbers`,
  ],
  ["a JSON array", `train array.json ${SMALL} --out runs/array`],
  [
    "sets of my own",
    `train --data mails.csv --val val.csv --test val.csv ${SMALL} --out runs/sets`,
    `train --data book.txt --val book-2.txt --test book-2.txt --objective lm ${SMALL} --out runs/texts`,
  ],
  [
    "tags in JSON lines",
    `train tags.jsonl --objective tokens ${SMALL} --out runs/tags`,
    'classify --run runs/tags "Ann Lee went"',
  ],
  [
    "prompts and answers",
    `train prompts.jsonl --objective lm ${SMALL} --out runs/prompts`,
    `train alpaca.jsonl --objective lm --model chat-model --epochs 1 --max-length 64 --out runs/alpaca`,
    `train shared.json --objective lm --model chat-model --epochs 1 --max-length 64 --out runs/shared`,
  ],
  [
    "bundled texts, and texts of the hub",
    `train --dataset human-rights --objective lm ${SMALL} --out runs/rights`,
    `train --dataset stanfordnlp/imdb --objective lm ${SMALL} --out runs/reviews`,
  ],
  [
    "bundled languages, and news of the hub",
    `train --dataset languages ${SMALL} --train-rows 40 --out runs/languages`,
    `train --dataset fancyzhx/ag_news ${SMALL} --train-rows 20 --out runs/news`,
  ],
  [
    "a pipe of texts, a file of texts",
    "classify --run runs/mails-micro < lines.txt",
    "classify --run runs/mails-micro unlabelled.csv",
    "classify --run runs/mails-micro lines.txt",
    "classify --run runs/pairs --pair < pairs.txt",
    "generate --run runs/book --max-new-tokens 4 --stop the < lines.txt",
    "classify --run runs/parquet --in texts.parquet --out parquet.csv",
  ],
  [
    "events for a program",
    `train mails.csv ${SMALL} --json --out runs/events`,
    `train mails.csv ${SMALL} --folds 2 --json --out runs/fold-events`,
    "sweep mails.csv --model gpt2-micro --epochs 1 --grid rank=2,4 --json --out runs/sweep-events",
  ],
  ["a rate for each rank", "sweep mails.csv --model gpt2-micro --file rates.json --out runs/rates"],
  [
    "rank over alpha",
    "sweep mails.csv --model gpt2-micro --epochs 1 --max-length 32 --grid rank=1,2 --grid alpha=2,4 --out runs/map",
  ],
  [
    "a study that was stopped",
    "sweep mails.csv --model gpt2-micro --epochs 1 --grid rank=2,4,8 --out runs/half !",
    "train --resume runs/half",
  ],
  [
    "replace a run, an export, a table",
    `train mails.csv ${SMALL} --out runs/mails-micro ?`,
    `train mails.csv ${SMALL} --out runs/events --force`,
    "export --run runs/events --to peft --out exports/peft-micro ?",
    "export --run runs/mails-micro --to peft --out exports/peft-micro --force",
    "classify --run runs/events --in unlabelled.csv --out labelled.csv ?",
    "train --resume runs/mails-micro ?",
    `train mails.csv ${SMALL} --out folder ?`,
  ],
  [
    "a Llama-type model, from and for transformers and llama.cpp",
    "train mails.csv --model llama.gguf --epochs 1 --max-length 32 --out runs/llama-mails",
    "export --run runs/llama-mails --to merged --out exports/llama",
    "train book-2.txt --objective lm --model exports/llama --epochs 1 --max-length 16 --out runs/llama",
    "export --run runs/llama --to gguf --out exports/llama-gguf",
    "generate --model exports/llama-gguf/model.gguf --max-new-tokens 2 Hello",
    "export --run runs/llama --to onnx --dtype q8 --out exports/llama-onnx",
    "export --run runs/llama --to merged --dtype f16 --out exports/llama-half",
  ],
  [
    "smaller exports",
    "export --run runs/mails-micro --to onnx --dtype q8 --out exports/small",
    "export --run runs/mails-micro --to onnx --dtype f16 --out exports/half",
    "export --run runs/mails-micro --to page --out exports/page-micro",
    "export --run runs/prefix --to peft --out exports/prefix",
    "export --run runs/mails-micro --to peft --with-base --out exports/with-base",
    "export --run runs/book --to onnx --out exports/book",
    "export --run runs/mails-micro --to gguf --out exports/none ?",
    "generate --model exports/gguf/model.gguf --max-new-tokens 2 Hello",
  ],
  [
    "is my machine right, and how fast is it?",
    "doctor --device wasm --seconds 2 --out doctor.json",
    "doctor --device wasm --seconds 1 --out doctor.json",
    "doctor --out mails.csv ?",
  ],
  [
    "what can it do?",
    "lowrank --help",
    "lowrank train --help",
    "lowrank dev --help",
    "lowrank tain ?",
    "lowrank dev bench step --device wasm --threads 1 --steps 1 --batch-size 2",
  ],
  [
    "something is misspelt, or not there",
    ...[
      "--model smolm2-cut",
      "--model nobody/nothing",
      "--dataset spma",
      "--set foo=1",
      "--mode lroa",
      "--rank 0",
      "--dataset nobody/nothing",
    ].map((flags) => `train ${flags} --epochs 1 ?`),
    "train none.csv ?",
    "train mails.csv --model runs ?",
    "train mails.csv --model exports/peft-micro ?",
    "train mails.csv --text-column nope ?",
    "train mails.csv --encoding klingon ?",
    "classify --run none hello ?",
    "classify hello ?",
    "classify --run runs/book hello ?",
    "generate --run runs/mails hello ?",
    "generate --chat hello ?",
    "train mails.csv --batch-size 4096 --max-length 100000 ?",
    "train book.txt --objective lm --model e5-small-cut ?",
  ],
];
