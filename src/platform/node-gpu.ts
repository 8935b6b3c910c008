/** WebGPU in Node: Dawn, of the package `webgpu`, an optional peer; in Deno its own, wgpu, with --unstable-webgpu. */

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { ConfigError, DeviceError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { ListedAdapter } from "./listed-adapter.ts";

/**
 * Dawn's GPU objects, by the options that they were created with. They are kept because the process crashes if one is
 * garbage-collected while its device is in use.
 */
const opened = new Map<string, Promise<GPU>>();

/** Where Linux lists graphics devices: those of Mesa and AMD, of NVIDIA, of WSL, of Arm and of Qualcomm. */
const GRAPHICS_DEVICES = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/dev/mali0", "/dev/kgsl-3d0"];

/** Whether there can be a hardware GPU. If there is none, Dawn and its software drivers are not loaded to know it. */
export function canHaveGPU(): boolean {
  return opened.size > 0 || process.platform !== "linux" || GRAPHICS_DEVICES.some(canBeThere);
}

/** Deno forbids to look there, unless all is allowed, but may have WebGPU of its own. */
const canBeThere = (path: string) => ifPermitted(() => existsSync(path)) ?? ownGPU() !== undefined;

/**
 * The GPU object. `which`: of one adapter; its index in the list, or else a part of its backend and name, in any case;
 * of several the first is taken. Throws DeviceError, with the reason, if there is no WebGPU, ConfigError, with the
 * list, if there is no such adapter.
 */
export async function requestGPU(which?: string): Promise<GPU> {
  if (which === undefined) return ownGPU() ?? openDawn();
  const adapters = await listAdapters();
  // Whoever asks for an adapter learns why there is none.
  if (adapters.length === 0) return openDawn(`adapter=${which}`);
  const isNamed = ({ backend, name }: ListedAdapter) =>
    `${backend} ${name}`.toLowerCase().includes(which.toLowerCase());
  const adapter = (/^\d+$/.test(which) && adapters[Number(which)]) || adapters.find(isNamed);
  if (!adapter)
    throw new ConfigError("unknown-value", "there is no such GPU", {
      expected: adapters.map(({ name, backend }, i) => `webgpu:${i} (${name}, ${backend})`).join(", "),
      found: `webgpu:${which}`,
    });
  const { name, backend, isHidden } = adapter;
  if (!isHidden) return openDawn(`backend=${backend}`, `adapter=${name}`);
  throw new ConfigError("unknown-value", "this GPU cannot be opened: another one, earlier in the list, has its name", {
    found: `webgpu:${which}, ${name}`,
  });
}

/** That of a runtime which has one. */
const ownGPU = () => (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;

/** The version of WebGPU: of a runtime that has one, or of the package. */
export function gpuVersion(): string {
  if (ownGPU()) return navigator.userAgent;
  try {
    return (createRequire(import.meta.url)("webgpu/package.json") as { version: string }).version;
  } catch {
    return "";
  }
}

/** The backends of Dawn that can run core WebGPU, the usual one first; elsewhere Vulkan alone. */
const BACKENDS: Partial<Record<NodeJS.Platform, string[]>> = { win32: ["d3d12", "vulkan"], darwin: ["metal"] };

/**
 * All adapters, the most powerful first. Dawn lists those of a backend in the error about a name that none has, and
 * opens the first one whose name contains the given one.
 */
export async function listAdapters(): Promise<ListedAdapter[]> {
  const adapters: ListedAdapter[] = [];
  for (const backend of BACKENDS[process.platform] ?? ["vulkan"]) {
    const gpu = await openDawn(`backend=${backend}`, "adapter=(a name that no adapter has)");
    const listed = await gpu.requestAdapter({ powerPreference: "high-performance" }).then(
      () => "",
      (error: Error) => error.message,
    );
    const names = [...listed.matchAll(/^ \* backend: '.*?', name: '(.*)'$/gm)].map(([, name]) => name!);
    for (const [i, name] of names.entries())
      adapters.push({ name, backend, isHidden: names.slice(0, i).some((earlier) => earlier.includes(name)) });
  }
  return adapters;
}

/**
 * Dawn rounds timestamps to 65 us, because a page could measure other tabs with finer ones; most kernels take less.
 *
 * The variable enables further toggles, for measurements and for test/drivers.mjs. Dawn's checks of indices and its
 * zeros in workgroup memory stay on by default, although every fixture has the same errors without them: what they cost
 * has not been measured on a hardware GPU, a page has them anyway, and without them a wrong index silently changes
 * other memory (src/bench/README.md).
 */
function dawnOptions(): string[] {
  const toggles = process.env.LOWRANK_DAWN_TOGGLES;
  return ["disable-dawn-features=timestamp_quantization", ...(toggles ? [`enable-dawn-features=${toggles}`] : [])];
}

/** Not a literal where it is imported: a bundler would need the package, and cannot put its binary into a script. */
const DAWN = { name: "webgpu" };

function openDawn(...options: string[]): Promise<GPU> {
  const key = options.join("\n");
  const gpu = opened.get(key) ?? loadDawn().then(({ create }) => create([...dawnOptions(), ...options]), notLoaded);
  opened.set(key, gpu);
  return gpu;
}

const loadDawn = (): Promise<typeof import("webgpu")> => import(/* webpackIgnore: true */ /* @vite-ignore */ DAWN.name);

const USE_CPU = `use ${setting("device", "wasm")}, which needs no driver`;

/** Throws why Dawn cannot be loaded. */
function notLoaded(error: NodeJS.ErrnoException): never {
  const { code, message } = error;
  if (code === "ERR_MODULE_NOT_FOUND")
    throw new DeviceError("webgpu-not-installed", "the package webgpu is not installed", {
      hint: `npm install webgpu, or use ${setting("device", "wasm")}`,
    });
  // As `require` would: the package has a binary for each system.
  if (code === "MODULE_NOT_FOUND")
    throw new DeviceError("webgpu-not-loadable", "the package webgpu has no binary for this system", {
      expected: "Linux or Windows on x64 or arm64, or macOS",
      found: `${process.platform} ${process.arch}`,
      hint: USE_CPU,
      cause: error,
    });
  const [, glibc] = /GLIBC_([\d.]+)' not found/.exec(message) ?? [];
  if (glibc !== undefined)
    throw new DeviceError("webgpu-not-loadable", "the GLIBC of this system is too old for WebGPU in Node", {
      expected: `GLIBC ${glibc} or newer, as in Debian 12, Ubuntu 22.04 and RHEL 9`,
      found: `GLIBC ${glibcVersion() ?? "of another version"}`,
      hint: `${USE_CPU}, a newer system, or a page in a browser`,
      cause: error,
    });
  throw new DeviceError("webgpu-not-loadable", "the binary of the package webgpu cannot be loaded", {
    found: message.split("\n")[0]!,
    hint: `install the library that it names, or ${USE_CPU}`,
    cause: error,
  });
}

function glibcVersion(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}

/** The system's answer; undefined where the runtime forbids to ask: Deno, without the permission. */
export function ifPermitted<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}
