/**
 * What people do with the program, a line each: what it is, and the commands or the script that do it. A feature that
 * comes brings its line; what no line runs is asked about. Files are those of files.mjs; runs of earlier lines are used
 * by later ones.
 *
 * `{ main: true }`: one of the ten jobs that most people have. A command that ends with " !" is interrupted by Ctrl-C
 * after its first step; `fails: true`: an error is what is to be seen.
 */
const SMALL = "--model gpt2-micro --epochs 1 --max-length 32";

/** Ten main jobs. */
export const MAIN = [
  ["what is wrong with my table, and how do I train on it?", "check mails.csv"],
  ["train a classifier on my table", "train mails.csv --out runs/mails"],
  ["classify a text", 'classify --run runs/mails "See you at noon"'],
  ["label a table", "classify --run runs/mails --in unlabelled.csv --out labelled.csv"],
  ["put it into a page", "export --run runs/mails --to page --out exports/page"],
  ["give it to PEFT", "export --run runs/mails --to peft --out exports/peft"],
  ["fine-tune a language model", `train book.txt --objective lm ${SMALL} --out runs/book`],
  ["write with it", 'generate --run runs/book --max-new-tokens 8 "Everyone has"'],
  ["predict a score", `train scores.csv --objective regression ${SMALL} --out runs/scores`],
  ["find entities", `train entities.conll --objective tokens ${SMALL} --out runs/entities`],
];

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

const PIECES = `
  import { Classifier, ClassicModel, fineTune, LanguageModel, loadDataset, loadModel, loadTagged, loadTexts, openDevice, Tokenizer } from "lowrank";
  const tokenizer = await Tokenizer.load();
  tokenizer.decode(tokenizer.encode("Hello, world!"));
  const device = await openDevice("wasm");
  const model = await loadModel("gpt2-micro");
  const options = { device, model, epochs: 1 };
  const data = await loadDataset({ file: "mails.csv" }, { model, maxLength: 32 });
  const run = await fineTune({ ...options, data, onEvent: () => {}, save: "runs/library" });
  const classifier = await run.classifier();
  await Promise.all([classifier.classify("See you at noon"), classifier.classify("Free entry, reply now")]);
  const second = await Classifier.load("runs/library", { device });
  await second.loadAdapter("runs/mails-micro", "other");
  await second.setAdapter("other");
  await second.classify("See you");
  await (await ClassicModel.load("runs/library")).classify("See you at noon");
  const texts = await loadTexts({ rows: BOOK.map((text) => ({ text })) }, { model, maxLength: 32 });
  const written = await fineTune({ ...options, data: texts, save: "runs/written" });
  const lm = await LanguageModel.load("runs/written", { device });
  for await (const chunk of lm.generate(["Everyone has", "No one"], { maxNewTokens: 4 })) void chunk;
  await lm.score("Everyone has the right to life.");
  const tagged = await loadTagged({ file: "entities.conll" }, { model, maxLength: 32 });
  const tagger = await fineTune({ ...options, data: tagged });
  await (await tagger.classifier()).tag(["Ann Lee went to Rome"]);
  device.destroy();
`;

const SEVERAL = `
  import { crossValidate, loadDataset, loadModel, openDevice, study } from "lowrank";
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

/** Forty further ones. */
export const FURTHER = [
  [
    "LoRA of gpt2-micro",
    `train mails.csv ${SMALL} --out runs/mails-micro`,
    "export --run runs/mails-micro --to peft --out exports/peft-micro",
  ],
  ["measure on all rows, and find wrong labels", `train mails.csv ${SMALL} --folds 2 --out runs/folds`],
  ["train with corrected labels", `train mails.csv ${SMALL} --corrections review.csv --out runs/corrected`],
  ["is it luck? several seeds", `train mails.csv ${SMALL} --seeds 2 --out runs/seeds`],
  ["which settings? a grid", "sweep mails.csv --model gpt2-micro --epochs 1 --grid rank=2,4 --seeds 2 --out runs/grid"],
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
    "train --preset paper --model gpt2-micro --train mails.csv --val val.csv --test val.csv --epochs 1 --out runs/paper",
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
  ["train and learn on, in a program", { script: LIBRARY }],
  ["data, runs and models, in a program", { script: PIECES }],
  ["studies and folds, in a program", { script: SEVERAL }],
];
