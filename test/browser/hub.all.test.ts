/** Models and data sets from the hub in the page, with a server that replaces huggingface.co and its storage. */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { answerAsHub, answerDatasets, documentedDatasets } from "../helpers/hub-server.ts";
import { tinyModel } from "../helpers/tiny.ts";
import { openBrowser, openPage, webServer } from "./browser.ts";
import { selfSigned } from "./certificate.ts";

const NAME = "someone/small-gpt2";
/** What smollm2-135m stands for. */
const OFFERED = "HuggingFaceTB/SmolLM2-135M-Instruct";
const STORAGE = "https://cas-bridge.xethub.hf.co";
const directory = tinyModel(join(temporaryFolder(), "tiny"));
const files = new Map(["config.json", "model.safetensors"].map((name) => [name, readFileSync(join(directory, name))]));

const datasets = documentedDatasets();
/** The file whose first download is broken off. */
const CUT_PATH = "/cdn/stanfordnlp/imdb/plain_text/train/0000.parquet";
const CUT = datasets.get("stanfordnlp/imdb")!.parquet!.get("plain_text/train/0000.parquet")!;

/** All requests so far: "METHOD host/path [range]". */
const requests: string[] = [];

/** The server sends CORS headers, compresses small files, and breaks off the first download of the weights. */
async function startHub(): Promise<number> {
  let cuts = 1;
  let datasetCuts = 1;
  const server = createServer(selfSigned(), (request, response) => {
    const { method, url, headers } = request;
    requests.push([method, headers.host + url!, headers.range].filter(Boolean).join(" "));
    response.setHeader("access-control-allow-origin", headers.origin === "null" ? "*" : (headers.origin ?? "*"));
    response.setHeader(
      "access-control-expose-headers",
      "ETag,Link,Accept-Ranges,Content-Range,X-Error-Code,X-Linked-Size,X-Linked-ETag",
    );
    if (method === "OPTIONS") {
      response.setHeader("access-control-allow-headers", headers["access-control-request-headers"] ?? "");
      response.writeHead(204).end();
    } else if (url!.endsWith("/config.json")) {
      const small = gzipSync(files.get("config.json")!);
      response.writeHead(200, { "content-encoding": "gzip", "content-length": small.length }).end(small);
    } else if (url === CUT_PATH && datasetCuts-- > 0) {
      response.writeHead(200, { "content-length": CUT.length });
      response.write(CUT.subarray(0, CUT.length >> 1), () => setTimeout(() => response.destroy(), 1000));
    } else if (url!.includes("/datasets/") || url!.endsWith(".parquet")) {
      answerDatasets(request, response, datasets, STORAGE);
    } else if (url!.startsWith("/cdn/") && cuts-- > 0) {
      const bytes = files.get("model.safetensors")!;
      response.writeHead(200, { "content-length": bytes.length });
      // A browser loses bytes that it has not read when the connection breaks.
      response.write(bytes.subarray(0, bytes.length >> 1), () => setTimeout(() => response.destroy(), 1000));
    } else if (url!.includes(NAME) || url!.includes(OFFERED) || url!.startsWith("/cdn/"))
      answerAsHub(request, response, files, STORAGE);
    else response.writeHead(401).end("{}");
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

let context: Awaited<ReturnType<typeof openBrowser>>;

test("a hub download resumes where it broke off and is stored; an unknown name is reported", async () => {
  const port = await startHub();
  const hosts = ["huggingface.co", "*.hf.co"].map((host) => `MAP ${host}:443 127.0.0.1:${port}`);
  context = await openBrowser({
    flags: [`--host-resolver-rules=${hosts.join(",")}`, "--ignore-certificate-errors", "--no-proxy-server"],
  });
  const { page, faults } = await openPage(context, await webServer());
  await page.waitForSelector("#start:not([disabled])");
  const open = async (name: string) => {
    await page.selectOption("#model", "from-hub");
    await page.fill("#hub-name", name);
    await page.press("#hub-name", "Enter");
  };
  await open(NAME);
  await page
    .locator("#model-report >> text=2 blocks, 2 heads, width 16, context 64 tokens")
    .waitFor({ state: "attached" });
  await page.waitForSelector("#start:not([disabled])");
  const [first, second, ...more] = requests.filter((request) => request.includes("/cdn/"));
  const place = `GET ${new URL(STORAGE).host}/cdn/model.safetensors`;
  assert.equal([first, more], [place, []]);
  assert.match(second!, new RegExp(`^${place} bytes=[1-9]\\d*-$`));
  await page.waitForFunction(() => document.querySelector("#busy")!.textContent === "");

  requests.length = 0;
  await page.reload();
  await page.waitForSelector("#start:not([disabled])");
  await open(NAME);
  await page.locator("#model-report >> text=width 16").waitFor({ state: "attached" });
  assert.equal(requests, [], "the model was not stored");

  // The list has this one: it is downloaded by the button, and then opened as soon as it is chosen.
  await page.selectOption("#model", "smollm2-135m");
  await page.click("#hub-open");
  await page.waitForFunction(() => document.querySelector<HTMLSelectElement>("#model")!.value === "smollm2-135m");
  assert.ok(requests.length > 0);
  requests.length = 0;
  await page.selectOption("#model", "gpt2-micro");
  await page.locator("#model-report >> text=4 blocks").waitFor({ state: "attached" });
  await page.selectOption("#model", "smollm2-135m");
  await page.locator("#model-report >> text=width 16").waitFor({ state: "attached" });
  assert.equal(requests, [], "the model was not stored");

  await open("someone/else");
  const fault = page.locator("#model-error");
  await fault.locator('text=Cannot download the model "someone/else": there is no such model on the hub').waitFor();
  assert.not.match((await fault.textContent())!, /HF_TOKEN|directory/);
  assert.ok(await page.isDisabled("#start"));
  assert.equal(
    faults.filter((line) => !EXPECTED.test(line)),
    [],
  );
});

/** The browser's console messages about broken connections and unknown names. */
const EXPECTED =
  /^request: https:..(huggingface|cas-bridge\.xethub\.hf)\.co\/|ERR_CONTENT_LENGTH_MISMATCH|status of 401/;

test("data sets of the hub load, the download resumes; the second time nothing is requested; errors are shown", async () => {
  const { page, faults } = await openPage(context, await webServer());
  await page.waitForSelector("#start:not([disabled])");
  const open = async (name: string) => {
    await page.check("input[name=source][value=hub]");
    await page.fill("#dataset-name", name);
    await page.click("#dataset-open");
  };
  await page.check("input[name=source][value=hub]");
  assert.ok(await page.isDisabled("#start"), "there is no data set yet");
  const shows = [
    ["stanfordnlp/imdb", "rows: 80 read", "neg"],
    ["fancyzhx/ag_news", "rows: 100 read", "Sci/Tech"],
    ["ucirvine/sms_spam", "rows: 80 read", "spam"],
  ] as const;
  for (const [name, report, label] of shows) {
    await open(name);
    await page.locator(`#data-report >> text=${report}`).waitFor();
    assert.ok((await page.textContent("#data-report .data-classes"))!.includes(label), label);
    await page.waitForSelector("#start:not([disabled])");
  }
  const cut = requests.filter((request) => request.includes(CUT_PATH));
  assert.match(cut[1]!, /bytes=[1-9]\d*-$/);
  assert.is(cut.length, 2);

  requests.length = 0;
  await page.reload();
  await page.waitForSelector("#start:not([disabled])");
  for (const [name, report] of shows) {
    await open(name);
    await page.locator(`#data-report >> text=${report}`).waitFor();
  }
  assert.equal(requests, [], "the data sets were not stored");

  await open("stanfordnlp/imbd");
  const fault = page.locator("#data-error");
  await fault.locator("text=there is no such data set on the hub").waitFor();
  assert.match((await fault.textContent())!, /id you mean stanfordnlp\/imdb/);
  await open("imdb");
  await fault.locator('text=There is no data set "imdb"').waitFor();
  assert.equal(
    faults.filter((line) => !EXPECTED.test(line)),
    [],
  );
});
