/**
 * Looks for a WebGPU adapter, as `npm test` needs one. Where there is none on Debian (or a system like it)
 * and this is root, Mesa's software Vulkan driver is installed; elsewhere the package is named, and the exit code is 1.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const PACKAGES = ["libvulkan1", "mesa-vulkan-drivers"];

// A process of its own each time: the Vulkan loader looks for drivers once.
const PROBE = `
  import { create } from "webgpu";
  const gpu = create([]);
  const adapter = await gpu.requestAdapter();
  console.log(adapter ? "adapter: " + (adapter.info.description || adapter.info.device || adapter.info.vendor) : "none");
`;

function findAdapter() {
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "--eval", PROBE], { encoding: "utf8" });
  return /^adapter: (.*)$/m.exec(stdout ?? "")?.[1] ?? null;
}

function isDebianRoot() {
  return process.platform === "linux" && process.getuid?.() === 0 && existsSync("/etc/debian_version");
}

function packageFor() {
  if (process.platform !== "linux") return "a graphics driver with Metal (macOS) or Direct3D 12 (Windows)";
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const family = /^(?:ID|ID_LIKE)=.*$/gm;
  const ids = (release.match(family) ?? []).join(" ");
  if (/debian|ubuntu/.test(ids)) return `sudo apt-get install ${PACKAGES.join(" ")}`;
  if (/fedora|rhel|centos/.test(ids)) return "sudo dnf install vulkan-loader mesa-vulkan-drivers";
  if (/arch/.test(ids)) return "sudo pacman -S vulkan-icd-loader vulkan-swrast";
  if (/alpine/.test(ids)) return "apk add vulkan-loader mesa-vulkan-swrast";
  if (/suse/.test(ids)) return "sudo zypper install libvulkan1 libvulkan_lvp";
  return "your distribution's Vulkan loader and Mesa's software driver (lavapipe)";
}

function install() {
  console.log(`no WebGPU adapter: installing ${PACKAGES.join(", ")} (a software driver)`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { stdio: ["ignore", "ignore", "inherit"], env }).status === 0;
  return apt("update") && apt("install", "--no-install-recommends", "-y", ...PACKAGES);
}

let adapter = findAdapter();
if (!adapter && isDebianRoot() && install()) adapter = findAdapter();
if (adapter) console.log(`WebGPU adapter: ${adapter}`);
else {
  console.error(`no WebGPU adapter. Install one with:\n  ${packageFor()}`);
  process.exit(1);
}
