/**
 * Pages in Chromium: the server of `npm run web`, one browser per test file, and pages that record errors, console
 * messages and requests to other origins.
 */
import { spawn } from "node:child_process";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import sirv from "sirv";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { afterAll } from "../helpers/harness.ts";

/** Generous, because a busy machine is slow. */
export const TIMEOUT_MS = 180_000;

/** What Playwright disables on Linux and in every case: a second --disable-features replaces its own. */
const PLAYWRIGHT_DISABLES = [
  "AimEnabled",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsFirstBalancedModeAutoEnable",
  "HttpsUpgrades",
  "LensOverlay",
  "MediaRouter",
  "NetworkTimeServiceQuerying",
  "OptimizationHints",
  "PaintHolding",
  "PreconnectToSearch",
  "ThirdPartyStoragePartitioning",
];

/**
 * No sandbox, which root cannot use; no background network traffic of the browser; no pages of the address bar, which
 * each window loads: they cost as much as the page to be tested.
 */
const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  `--disable-features=${["WebUIOmniboxPopup", "WebUIOmniboxAimPopup", ...PLAYWRIGHT_DISABLES].join()}`,
];
/** WebGPU on SwiftShader, Chromium's software driver. */
const WEBGPU_FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
/** Elsewhere a page is drawn without that driver, which takes half as long again. */
const PLAIN_FLAGS = ["--disable-gpu", "--disable-software-rasterizer"];

/** What Chromium warns of where a page asks for a GPU and there is none. */
const NO_GPU = /^(No available adapters\.|Failed to create WebGPU Context Provider)$/;

export interface BrowserOptions {
  webgpu?: boolean;
  flags?: readonly string[];
}

export interface TestPage {
  page: Page;
  /** Uncaught errors, console errors and warnings, and requests to other origins so far. */
  faults: string[];
}

let server: Promise<string> | undefined;

/** The address at which `npm run web` serves the page, without a trailing slash. */
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

/** Serves a folder like a plain static host, with only these headers; returns its address and a way to stop it. */
export async function plainServer(
  folder: string,
  headers: Record<string, string> = {},
): Promise<{ url: string; stop: () => void }> {
  const setHeaders = (response: ServerResponse) => void response.setHeaders(new Map(Object.entries(headers)));
  const server = createServer(sirv(folder, { dev: true, etag: true, setHeaders }));
  await new Promise<void>((ready) => server.listen(0, "localhost", ready));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  afterAll(stop);
  return { url: `http://localhost:${(server.address() as AddressInfo).port}`, stop };
}

const browsers = new Map<string, Promise<Browser>>();
/** Where the browsers put what is downloaded. */
export const DOWNLOADS = temporaryFolder();

/** The file's browser with these flags; it is closed after the last test. */
function browserWith(flags: readonly string[]): Promise<Browser> {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error("no Chromium: `npm run driver` installs it, or names it");
  const key = flags.join(" ");
  const browser =
    browsers.get(key) ?? chromium.launch({ executablePath, downloadsPath: DOWNLOADS, args: [...FLAGS, ...flags] });
  if (!browsers.has(key)) afterAll(async () => (await browser).close());
  browsers.set(key, browser);
  return browser;
}

/** Opens a new profile of a browser. */
export async function openBrowser({ webgpu = false, flags = [] }: BrowserOptions = {}): Promise<BrowserContext> {
  return (await browserWith([...(webgpu ? WEBGPU_FLAGS : PLAIN_FLAGS), ...flags])).newContext();
}

/** Opens an address in a new page. */
export async function openPage(context: BrowserContext, url: string): Promise<TestPage> {
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const faults: string[] = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const [type, text] = [message.type(), message.text()];
    if (["error", "warning"].includes(type) && !NO_GPU.test(text)) faults.push(`${type}: ${text}`);
  });
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (["http:", "https:"].includes(asked.protocol) && asked.origin !== origin) faults.push(`request: ${asked}`);
  });
  await page.goto(url);
  return { page, faults };
}

/**
 * Opens the page of `npm run web` with empty storage. It has no service worker, whose copy of all files takes a third
 * of the time in which a page starts: test/browser/hosting.test.ts is about it.
 */
export async function freshPage(webgpu = false): Promise<TestPage & { context: BrowserContext }> {
  return openFreshPage(await openBrowser({ webgpu }));
}

/** Opens the page of `npm run web` in a new profile. */
export async function openFreshPage(context: BrowserContext): Promise<TestPage & { context: BrowserContext }> {
  await context.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "serviceWorker"));
  return { context, ...(await openPage(context, await webServer())) };
}
