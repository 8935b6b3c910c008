/** The templates of data/templates with the packed package: built, run, and asked for a label. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { chromium } from "playwright-core";
import { must } from "../helpers/packed.mjs";
import { browserOptions, home, ISOLATED, inBrowser, modules, serve, TEXTS, TOLERANCE } from "./site.mjs";

const TEXT = TEXTS[0];
const PATIENCE = 120_000;

/** A copy of a template with the run that it classifies with. */
function place(name, run) {
  const folder = join(home, "templates", name);
  rmSync(folder, { recursive: true, force: true });
  cpSync(join("data/templates", name), folder, { recursive: true });
  cpSync(join(home, "run"), join(folder, run), { recursive: true });
  // The run's base is smaller than that of runs by default.
  for (const file of readdirSync(folder, { recursive: true }).filter((name) => /\.js$/.test(name))) {
    const code = readFileSync(join(folder, file), "utf8");
    writeFileSync(join(folder, file), code.replace("bases/e5-small-cut", "bases/gpt2-micro"));
  }
  return folder;
}

const isRight = ({ label, probability }, expected) =>
  label === expected.label && Math.abs(probability - expected.probability) <= TOLERANCE;

function mustBeRight(answer, expected, where) {
  if (!isRight(answer, expected)) throw new Error(`${where}: ${JSON.stringify(answer)}`);
}

/** Opens a page and types until it shows the label that Node gives: it may not be ready, and says nothing of it. */
async function type(tab, url, expected, places = ["#answer"]) {
  const faults = [];
  tab.on("pageerror", ({ message }) => faults.push(message));
  await tab.goto(url);
  const shown = async (selector) => {
    const [label, probability] = (await tab.textContent(selector)).split(" ");
    return { label, probability: Number(probability) };
  };
  for (const end = Date.now() + PATIENCE; ; await wait(500)) {
    await tab.fill("#text", "");
    await tab.fill("#text", TEXT);
    const answers = await Promise.all(places.map(shown));
    if (faults.length > 0) throw new Error(faults.join("\n"));
    if (answers.every((answer) => isRight(answer, expected))) return;
    if (Date.now() > end) throw new Error(`shows ${JSON.stringify(answers)}`);
  }
}

/** Asks a server that is not up yet, over and over. */
async function post(url, expected) {
  for (const end = Date.now() + PATIENCE; ; await wait(500)) {
    const response = await fetch(url, { method: "POST", body: TEXT }).catch(() => undefined);
    if (response?.ok) return mustBeRight(await response.json(), expected, url);
    if (Date.now() > end) throw new Error(`${url}: ${response?.status ?? "no answer"}`);
  }
}

/** Runs a server, does something, and ends it; throws, with what it printed, if it ends by itself or not at all. */
async function whileRunning(args, options, work) {
  const child = spawn(process.execPath, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const lines = [];
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on("line", (line) => lines.push(line));
  const ended = new Promise((done) => child.on("close", done));
  const early = ended.then(() => Promise.reject(new Error("the server ended")));
  try {
    await Promise.race([work(), early]);
  } catch (error) {
    throw new Error(`${error.message}\n${lines.join("\n")}`);
  } finally {
    early.catch(() => {});
    child.kill();
    await Promise.race([ended, wait(10_000)]);
    child.kill("SIGKILL");
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, "localhost", ready));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function buildVite(version, folder) {
  must(process.execPath, [join(modules, version, "bin/vite.js"), "build"], { cwd: folder });
  return join(folder, "dist");
}

async function vite(expected) {
  for (const version of ["vite8", "vite7", "vite6"]) {
    const { url, stop } = await serve(buildVite(version, place("vite", "public/run")), ISOLATED);
    await inBrowser((tab) => type(tab, url, expected)).finally(stop);
  }
  return ": with a worker of its own, by Vite 8, 7 and 6";
}

async function next(expected) {
  const folder = place("next", "public/run");
  writeFileSync(join(folder, "package.json"), "{}");
  const program = join(modules, "next/dist/bin/next");
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };
  must(process.execPath, [program, "build"], { cwd: folder, env });
  const port = await freePort();
  await whileRunning([program, "start", "-p", `${port}`], { cwd: folder, env }, async () => {
    await post(`http://localhost:${port}/api/classify`, expected);
    await inBrowser((tab) => type(tab, `http://localhost:${port}/`, expected));
  });
  return ": on the server and in the page";
}

async function extension(expected) {
  const folder = place("extension", "run");
  for (const name of ["dist", "data"])
    cpSync(join(modules, "lowrank", name), join(folder, "lowrank", name), { recursive: true });
  const profile = join(tmpdir(), `lowrank-extension-${process.pid}`);
  const options = browserOptions(
    "--headless=new",
    `--disable-extensions-except=${folder}`,
    `--load-extension=${folder}`,
  );
  const context = await chromium.launchPersistentContext(profile, { ...options, headless: false });
  // Chromium's name of an extension without a key: the hash of its path, in letters.
  const hash = createHash("sha256").update(folder).digest("hex").slice(0, 32);
  const id = hash.replaceAll(/./g, (digit) => String.fromCharCode(97 + Number.parseInt(digit, 16)));
  try {
    await type(await context.newPage(), `chrome-extension://${id}/popup.html`, expected);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
  return "";
}

/** In place of Electron's module: opens the window's page as it does, and asks the main process as the page does. */
const ELECTRON = `
  import { readFile } from "node:fs/promises";
  const handlers = {};
  export const app = { whenReady: async () => {} };
  export const net = { fetch: async (url) => new Response(await readFile(new URL(url))) };
  export const protocol = { registerSchemesAsPrivileged() {}, handle: (_, answer) => { handlers.open = answer; } };
  export const ipcMain = { handle: (name, answer) => { handlers[name] = answer; } };
  export class BrowserWindow {
    async loadURL(url) {
      const page = await (await handlers.open({ url })).text();
      console.log(JSON.stringify({ page, answer: await handlers.classify({}, process.env.TEXT) }));
      process.exit();
    }
  }
`;

/** Electron itself does not come from npm: its main process runs in Node, its window in Chromium. */
async function electron(expected) {
  const folder = place("electron", "public/run");
  const site = buildVite("vite8", folder);
  const module = join(folder, "node_modules/electron");
  mkdirSync(module, { recursive: true });
  writeFileSync(join(module, "package.json"), '{ "type": "module", "main": "index.js" }');
  writeFileSync(join(module, "index.js"), ELECTRON);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const { page, answer } = JSON.parse(
    must(process.execPath, ["main.js"], { cwd: folder, env: { ...process.env, TEXT } }),
  );
  if (!page.includes("<title>")) throw new Error(page);
  mustBeRight(answer, expected, "the main process");
  const { url, stop } = await serve(site);
  await inBrowser(async (tab) => {
    await tab.exposeFunction("askMain", () => answer);
    await tab.addInitScript("globalThis.main = { classify: (text) => askMain(text) }");
    await type(tab, url, expected, ["#answer", "#main"]);
  }).finally(stop);
  return ": the main process in Node, the window in Chromium";
}

async function server(expected) {
  const folder = place("server", "run");
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const env = { ...process.env, PORT: `${await freePort()}` };
  await whileRunning(["server.js"], { cwd: folder, env }, () => post(`http://localhost:${env.PORT}`, expected));
  return "";
}

/** By name; each throws unless the template's answer is Node's, and returns what to print of it. */
export const TEMPLATES = {
  "template vite": vite,
  "template next": next,
  "template extension": extension,
  "template electron": electron,
  "template server": server,
};
