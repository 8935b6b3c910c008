/**
 * Runs the packed package in other runtimes: it trains for an epoch, classifies by the command that training prints,
 * and tokenizes, in Node 20, 22 and 24, in Deno and in Bun. `npm run test:runtimes [-- NAME...]`. Installs them from
 * npm into build/runtimes; one that cannot be installed is skipped by name.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { installPackage, messages, must } from "./helpers/packed.mjs";

const home = resolve("build/runtimes");
const system = { win32: "win" }[process.platform] ?? process.platform;

/** A version of Node: this one, or npm's binary for this system. */
const node = (major) =>
  process.versions.node.startsWith(`${major}.`)
    ? { program: process.execPath }
    : { install: `node-${system}-${process.arch}@${major}`, file: /^node-[^/]+\/bin\/node(\.exe)?$/ };

/** Runtimes by name: the program, or its npm package and path in node_modules; its arguments before the script. */
const RUNTIMES = {
  "node 20": node(20),
  "node 22": node(22),
  "node 24": node(24),
  deno: { install: "deno", file: /^@deno\/[^/]+\/deno(\.exe)?$/, args: ["run", "--allow-all"] },
  bun: { install: "bun", file: /^@oven\/[^/]+\/bin\/bun(\.exe)?$/ },
};

/** The path of a runtime's program; null if it cannot be installed. */
function find(name, { program, install, file }) {
  if (program) return program;
  const folder = join(home, name.replace(" ", "-"));
  const modules = join(folder, "node_modules");
  const look = () =>
    readdirSync(modules, { recursive: true }).find((path) => file.test(String(path).replaceAll("\\", "/")));
  if (!existsSync(modules)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), "{}");
    // The programs are in packages for each system: nothing needs to run to install them.
    const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", install];
    spawnSync("npm", args, { cwd: folder, shell: process.platform === "win32" });
  }
  const found = existsSync(modules) && look();
  return found ? join(modules, found) : null;
}

const TOKENIZE = `
  import { Tokenizer } from "lowrank";
  const tokenizer = await Tokenizer.load();
  const ids = tokenizer.encode("Hello, world!");
  console.log([...ids].join(" "), tokenizer.decode(ids));
`;

/** Throws unless the runtime does all that it should; returns what it says of itself and its device. */
function check(name, program) {
  const { args = [] } = RUNTIMES[name];
  const project = join(home, "project");
  const run = (script, ...rest) => must(program, [...args, script, ...rest], { cwd: project });
  const lowrank = join("node_modules", "lowrank", "dist", "lowrank.js");
  const out = `run ${name}`;
  rmSync(join(project, out), { recursive: true, force: true });
  const trained = run(lowrank, "train", "--data", "messages.csv", "--epochs", "1", "--out", out, "--device", "wasm");
  const hint = /^try it: {2}npx lowrank classify --run "(.*)" "(.*)"$/m.exec(trained);
  if (hint?.[1] !== out) throw new Error(`no hint in what train prints:\n${trained}`);
  const classified = run(lowrank, "classify", "--run", hint[1], hint[2]);
  if (!/^(ham|spam)\t0\.\d{4}\t(see you at lunch|you have won a prize)/m.test(classified)) throw new Error(classified);
  const tokens = run("tokenize.mjs").trim();
  if (tokens !== "15496 11 995 0 Hello, world!") throw new Error(tokens);
  return `${must(program, ["--version"]).split("\n")[0]}; ${/^device: (.*)$/m.exec(trained)[1]}; ${classified.trim()}`;
}

const wanted = process.argv.slice(2);
const project = join(home, "project");
installPackage(project);
writeFileSync(join(project, "package.json"), '{ "type": "module" }');
writeFileSync(join(project, "messages.csv"), messages(40));
writeFileSync(join(project, "tokenize.mjs"), TOKENIZE);
let failures = 0;
for (const name of Object.keys(RUNTIMES).filter((one) => wanted.length === 0 || wanted.includes(one))) {
  const program = find(name, RUNTIMES[name]);
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
