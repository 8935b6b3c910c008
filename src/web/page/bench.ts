/** bench.html: matrix products and a training step, on WebGPU and on the CPU, with the result as JSON. */
import { requestGPU } from "#platform";
import { version } from "../../../package.json";
import { type DeviceInfo, describeDevice } from "../../backend/backend.ts";
import { openDevice } from "../../backend/device.ts";
import { type MicroStep, measureMicroStep } from "../../bench/micro-step.ts";
import { isSoftwareDriver, measureProduct, type Product, productsFor, type Rate } from "../../bench/products.ts";
import type { KernelFigures } from "../../bench/step-profile.ts";
import { measureYardsticks, type Yardsticks } from "../../bench/yardsticks.ts";
import { DeviceError, LowrankError } from "../../errors.ts";
import type { ErrorReport } from "../protocol.ts";
import { byId, h, scrollArea, setFigures, setText, table } from "./dom.ts";
import { count, percent } from "./format.ts";
import { showError } from "./notice.ts";

interface DeviceResult {
  device: DeviceInfo;
  yardsticks: Yardsticks | null;
  products: (Product & { gflops: Rate })[];
  step: MicroStep | null;
}

/** What "Copy as JSON" copies. */
interface Result {
  lowrank: string;
  date: string;
  userAgent: string;
  cores: number;
  /** Whether the CPU has all threads. */
  isolated: boolean;
  adapter: Record<string, string | number> | null;
  devices: DeviceResult[];
  errors: string[];
}

/** Measurements of each product. */
const ROUNDS = 5;

const TITLES = { webgpu: "WebGPU", wasm: "CPU" };

const runButton = byId<HTMLButtonElement>("run");
const copyButton = byId<HTMLButtonElement>("copy");
const json = byId<HTMLTextAreaElement>("json");
const say = (text: string) => setText(byId("status"), text);

/** What the browser reports about the adapter. */
async function describeAdapter(): Promise<Result["adapter"]> {
  const adapter = await (await requestGPU())?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
  return { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize };
}

async function measure(): Promise<Result> {
  const result: Result = {
    lowrank: version,
    date: new Date().toISOString(),
    userAgent: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    isolated: crossOriginIsolated,
    adapter: await describeAdapter(),
    devices: [],
    errors: [],
  };
  for (const kind of ["webgpu", "wasm"] as const) {
    try {
      await measureDevice(kind, result);
    } catch (error) {
      // A browser without WebGPU, or a driver that gives up: the CPU is measured all the same.
      if (!(error instanceof DeviceError)) throw error;
      result.errors.push(`${TITLES[kind]}: ${error.message}`);
      showError(byId("error"), describeError(error));
    }
  }
  return result;
}

async function measureDevice(kind: "webgpu" | "wasm", result: Result): Promise<void> {
  const device = await openDevice(kind);
  try {
    const found: DeviceResult = { device: device.info, yardsticks: null, products: [], step: null };
    result.devices.push(found);
    say(`${TITLES[kind]}: a training step`);
    found.yardsticks = await measureYardsticks(device);
    // The CPU computes what WebGPU does, so that they can be compared.
    const first = result.devices[0]!.device;
    found.step = await measureMicroStep(device, isSoftwareDriver(first) ? 2 : 8, found.yardsticks);
    show(result);
    for (const product of productsFor(first)) {
      say(`${TITLES[kind]}: ${product.name}, ${productSize(product)}`);
      const [gflops] = await measureProduct([device], product, ROUNDS);
      found.products.push({ ...product, gflops: gflops! });
      show(result);
    }
  } finally {
    device.destroy();
  }
}

const productSize = ({ m, n, k }: Product) => `${m} x ${n} x ${k}`;
const figure = (value: number) => {
  if (value >= 100) return count(Math.round(value));
  return value < 1 ? value.toFixed(2) : value.toPrecision(3);
};

function rate(value: number | null | undefined, share: number | null | undefined): string {
  if (value == null) return "–";
  return share == null ? figure(value) : `${figure(value)} (${percent(share, 0)})`;
}

function show({ devices }: Result): void {
  const titles = devices.map(({ device }) => TITLES[device.kind]);
  const yardsticks = devices[0]!.yardsticks;
  setFigures(byId("device"), [
    ...devices.map(({ device }) => [TITLES[device.kind], describeDevice(device)] as const),
    ...(yardsticks
      ? [
          ["Plain copy", `${figure(yardsticks.copy)} GB/s`] as const,
          ["Plain multiply-adds", `${figure(yardsticks.multiplyAdd)} GFLOP/s`] as const,
        ]
      : []),
  ]);
  const rows: [string, (step: MicroStep) => string][] = [
    ["One step, ms", ({ ms }) => figure(ms.median)],
    ["Tokens/s", ({ tokensPerSecond }) => figure(tokensPerSecond)],
    ["One of many steps in one submission, ms", ({ profile }) => figure(profile.ms.median)],
    ["Dispatches", ({ profile }) => String(profile.dispatches)],
    ["Dispatches/s", ({ profile }) => figure(profile.dispatchesPerSecond)],
    ["Loss of the first step", ({ loss }) => loss.toFixed(5)],
  ];
  byId("step").replaceChildren(
    table(
      `gpt2-micro with LoRA, ${devices[0]!.step?.tokens ?? 0} tokens`,
      ["Figure", ...titles],
      rows.map(([name, cell]) => [name, ...devices.map(({ step }) => (step ? cell(step) : "–"))]),
    ),
    ...devices.map(({ device, step }) => kernelTable(TITLES[device.kind], step?.profile.kernels ?? [])),
  );
  const products = devices[0]!.products;
  byId("products").replaceChildren(
    table(
      "GFLOP/s (and the share of the plain multiply-adds)",
      ["Product, m x n x k", ...titles],
      products.map((product, i) => [
        h("span", {}, product.name, h("small", {}, productSize(product))),
        ...devices.map(({ products, yardsticks }) => {
          const median = products[i]?.gflops.median;
          return rate(median, yardsticks && median !== undefined ? median / yardsticks.multiplyAdd : null);
        }),
      ]),
    ),
  );
}

function kernelTable(title: string, kernels: readonly KernelFigures[]): Node {
  if (kernels.length === 0) return h("span", {});
  const rows = kernels.map(({ name, dispatches, ms, share, gflops, gbs, ofMultiplyAdd, ofCopy }) => [
    h("span", {}, name, h("small", {}, `${dispatches} dispatches`)),
    ms.toFixed(2),
    percent(share),
    rate(gflops, ofMultiplyAdd),
    rate(gbs, ofCopy),
  ]);
  const header = ["Kernel", "ms", "Share", "GFLOP/s", "GB/s"];
  const caption = "In brackets: of the plain multiply-adds, of the plain copy";
  return h(
    "details",
    {},
    h("summary", {}, `Kernels, ${title}`),
    scrollArea(`Kernels, ${title}`, table(caption, header, rows)),
  );
}

function describeError(error: unknown): ErrorReport {
  if (!(error instanceof LowrankError)) return { name: "Error", summary: String(error) };
  const { cause: _, ...details } = error.details;
  return { name: error.name, code: error.code, summary: error.message.split("\n")[0]!, ...details };
}

runButton.addEventListener("click", async () => {
  runButton.disabled = copyButton.disabled = true;
  showError(byId("error"), null);
  try {
    json.value = JSON.stringify(await measure(), null, 1);
    copyButton.disabled = false;
    say("Done.");
  } catch (error) {
    showError(byId("error"), describeError(error));
    say("");
  }
  runButton.disabled = false;
});

copyButton.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(json.value);
    say("Copied.");
  } catch {
    byId<HTMLDetailsElement>("as-text").open = true;
    json.select();
    say("The browser does not let the page copy: copy the selected text.");
  }
});
