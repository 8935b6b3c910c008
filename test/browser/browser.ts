/**
 * Pages in a real Chromium: the server that `npm run web` starts, one browser a test file, and pages of which everything that
 * goes wrong is kept: errors, messages on the console, requests to other origins.
 */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import sirv from "sirv";
import { packagePath } from "#platform";
import { afterAll } from "../harness.ts";

/** A page is waited for: on a machine with much else to do it takes its time. */
const TIMEOUT_MS = 180_000;

/** Without a sandbox, which root has none of; without what the browser does by itself in the network. */
const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** WebGPU on SwiftShader, a software driver that comes with Chromium. */
const WEBGPU_FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

export interface BrowserOptions {
  webgpu?: boolean;
  flags?: readonly string[];
}

export interface TestPage {
  page: Page;
  /** What went wrong so far: uncaught errors, errors and warnings of the console, requests to other origins. */
  faults: string[];
}

let server: Promise<string> | undefined;

/** The address of the page's folder, as `npm run web` serves it, without a slash at the end. */
export function webServer(): Promise<string> {
  server ??= startServer();
  return server;
}

function startServer(): Promise<string> {
  const child = spawn(process.execPath, [packagePath("src/tools/web.mjs"), "--port", "0"]);
  afterAll(() => {
    child.kill();
  });
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      const url = /^(http:\S+)\/$/m.exec(output)?.[1];
      if (url !== undefined) resolve(url);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.on("close", (code) => reject(new Error(`the server ended with ${code}:\n${output}`)));
  });
}

/** Serves a folder as any host of static files does, without headers of its own; returns its address, and how to stop. */
export async function plainServer(folder: string): Promise<{ url: string; stop: () => void }> {
  const server = createServer(sirv(folder, { dev: true, etag: true }));
  await new Promise<void>((ready) => server.listen(0, "localhost", ready));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  afterAll(stop);
  return { url: `http://localhost:${(server.address() as AddressInfo).port}`, stop };
}

/** Opens a browser with a profile of its own, which ends after the file's last test. */
export async function openBrowser({ webgpu = false, flags = [] }: BrowserOptions = {}): Promise<BrowserContext> {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error("no Chromium: `npm run driver` installs it, or names it");
  const browser = await chromium.launch({
    executablePath,
    args: [...FLAGS, ...(webgpu ? WEBGPU_FLAGS : []), ...flags],
  });
  afterAll(() => browser.close());
  return browser.newContext();
}

/** Opens an address in a new page. */
export async function openPage(context: BrowserContext, url: string): Promise<TestPage> {
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const faults: string[] = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`${message.type()}: ${message.text()}`);
  });
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (["http:", "https:"].includes(asked.protocol) && asked.origin !== origin) faults.push(`request: ${asked}`);
  });
  await page.goto(url);
  return { page, faults };
}

const shared = new Map<boolean, Promise<BrowserContext>>();

/** The page of `npm run web`, with storage of its own, in one browser for all of a test file; one more with WebGPU. */
export async function freshPage(webgpu = false): Promise<TestPage & { context: BrowserContext }> {
  const browser = shared.get(webgpu) ?? openBrowser({ webgpu });
  shared.set(webgpu, browser);
  const context = await (await browser).browser()!.newContext();
  return { context, ...(await openPage(context, await webServer())) };
}
