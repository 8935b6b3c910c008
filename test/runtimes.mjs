/**
 * Runs the packed package in other runtimes: it trains for an epoch, classifies by the command that training prints,
 * and does both by the library, in Node 20, 22 and 24, in Deno, which may only read files then, and in Bun.
 * `npm run test:runtimes [-- NAME...]`. Installs them from npm into build/runtimes; one that cannot be installed is
 * skipped by name.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { transformSync } from "esbuild";
import { installPackage, messages, must } from "./helpers/packed.mjs";
import { DENO, findRuntime, RUNTIMES_FOLDER as home } from "./helpers/runtimes.mjs";

const system = { win32: "win" }[process.platform] ?? process.platform;

/** A version of Node: this one, or npm's binary for this system. */
const node = (major) =>
  process.versions.node.startsWith(`${major}.`)
    ? { program: process.execPath }
    : { install: `node-${system}-${process.arch}@${major}`, file: /^node-[^/]+\/bin\/node(\.exe)?$/ };

/** Runtimes by name: the program, or its npm package and path in node_modules; its arguments before the script, and before one that only reads. */
const RUNTIMES = {
  "node 20": node(20),
  "node 22": node(22),
  "node 24": node(24),
  deno: { ...DENO, args: ["run", "--allow-all"], reads: ["run", "--no-prompt", "--allow-read"] },
  bun: { install: "bun", file: /^@oven\/[^/]+\/bin\/bun(\.exe)?$/ },
};

const LIBRARY = `
  import { loadDataset, Tokenizer } from "lowrank/data";
  import { fineTune, loadModel, openDevice } from "lowrank/engine";
  const tokenizer = await Tokenizer.load();
  const ids = tokenizer.encode("Hello, world!");
  console.log([...ids].join(" "), tokenizer.decode(ids));
  const device = await openDevice();
  const model = await loadModel("gpt2-micro");
  const data = await loadDataset({ file: "messages.csv" }, { model });
  const run = await fineTune({ device, model, data, epochs: 1 });
  console.log(run.device.kind, Number.isFinite(run.results.after.test.loss));
  device.destroy();
`;

/** README's lines. Node 20 does not know `await using`: they are compiled, as TypeScript would. */
const LINES = `
  import { load, train } from "lowrank";
  const texts = (label, ...texts) => texts.map((text) => ({ text, label }));
  const rows = [
    ...texts("refund", "I want my money back", "a refund, please", "please return my money", "refund my order"),
    ...texts("hours", "when do you open", "are you open on Sunday", "what are your opening hours", "how long are you open"),
  ];
  let fraction = 0;
  await using model = await train(rows, { model: "gpt2-micro", onProgress: (event) => { fraction = event.fraction; } });
  const { label } = await model.classify("I want a refund, please");
  await model.learn(texts("shipping", "where is my parcel", "my parcel has not come", "track my parcel"));
  await model.save("topics", { force: true });
  await using again = await load("topics");
  const [first, second] = await again.classify(["I want a refund, please", "where is my parcel"]);
  console.log(fraction, label, first.label, second.label, again.labels.join());
`;

const TRAIN = ["--data", "messages.csv", "--model", "gpt2-micro", "--epochs", "1", "--device", "wasm"];

/** Throws unless the runtime does all that it should; returns what it says of itself and its device. */
function check(name, program) {
  const { args = [], reads = args } = RUNTIMES[name];
  const project = join(home, "project");
  const run = (script, ...rest) => must(program, [...args, script, ...rest], { cwd: project });
  const lowrank = join("node_modules", "lowrank", "dist", "lowrank.js");
  const out = `run ${name}`;
  rmSync(join(project, out), { recursive: true, force: true });
  const trained = run(lowrank, "train", ...TRAIN, "--out", out);
  const hint = /^try it: {2}npx lowrank classify --run "(.*)" "(.*)"$/m.exec(trained);
  if (hint?.[1] !== out) throw new Error(`no hint in what train prints:\n${trained}`);
  const classified = run(lowrank, "classify", "--run", hint[1], hint[2]);
  if (!/^(ham|spam)\t0\.\d{4}\t(see you at lunch|you have won a prize)/m.test(classified)) throw new Error(classified);
  const library = must(program, [...reads, "library.mjs"], { cwd: project });
  if (library !== "15496 11 995 0 Hello, world!\nwasm true\n") throw new Error(library);
  const lines = run("lines.mjs").trim();
  if (lines !== "1 refund refund shipping hours,refund,shipping") throw new Error(lines);
  return `${must(program, ["--version"]).split("\n")[0]}; ${/^device: (.*)$/m.exec(trained)[1]}; ${classified.trim()}`;
}

const wanted = process.argv.slice(2);
const project = join(home, "project");
mkdirSync(project, { recursive: true });
writeFileSync(join(project, "package.json"), '{ "type": "module" }');
installPackage(project);
writeFileSync(join(project, "messages.csv"), messages(40));
writeFileSync(join(project, "library.mjs"), LIBRARY);
writeFileSync(join(project, "lines.mjs"), transformSync(LINES, { format: "esm", target: "es2022" }).code);
let failures = 0;
for (const name of Object.keys(RUNTIMES).filter((one) => wanted.length === 0 || wanted.includes(one))) {
  const program = findRuntime(name, RUNTIMES[name]);
  if (program === null) {
    console.log(`skipped: ${name} is not here, and npm cannot install it`);
    continue;
  }
  try {
    console.log(`ok   ${name}: ${check(name, program)}`);
  } catch (error) {
    failures++;
    console.log(`FAIL ${name}\n${error.message}`);
  }
}
process.exit(failures > 0 ? 1 : 0);
