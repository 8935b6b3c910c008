/**
 * Looks for what `npm test` needs of the system: a WebGPU adapter, and Chromium. Where one is missing on Debian (or a system
 * like it) and this is root, Mesa's software Vulkan driver or the package chromium is installed; elsewhere they are named,
 * and the exit code is 1.
 */
import { spawnSync } from "node:child_process";
import { findChromium } from "./chromium.mjs";
import { install, installCommand } from "./install.mjs";

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

const VULKAN = ["libvulkan1", "mesa-vulkan-drivers"];

const NEEDED = [
  {
    name: "WebGPU adapter",
    find: findAdapter,
    packages: VULKAN,
    commands: {
      "debian|ubuntu": `sudo apt-get install ${VULKAN.join(" ")}`,
      "fedora|rhel|centos": "sudo dnf install vulkan-loader mesa-vulkan-drivers",
      arch: "sudo pacman -S vulkan-icd-loader vulkan-swrast",
      alpine: "apk add vulkan-loader mesa-vulkan-swrast",
      suse: "sudo zypper install libvulkan1 libvulkan_lvp",
      "":
        process.platform === "linux"
          ? "your distribution's Vulkan loader and Mesa's software driver (lavapipe)"
          : "a graphics driver with Metal (macOS) or Direct3D 12 (Windows)",
    },
  },
  {
    name: "Chromium",
    find: findChromium,
    packages: ["chromium"],
    commands: {
      ubuntu: "sudo snap install chromium",
      debian: "sudo apt-get install chromium",
      "fedora|rhel|centos": "sudo dnf install chromium",
      arch: "sudo pacman -S chromium",
      alpine: "apk add chromium",
      suse: "sudo zypper install chromium",
      "": "Chromium or Google Chrome; the variable CHROMIUM tells where it is",
    },
  },
];

for (const { name, find, packages, commands } of NEEDED) {
  let found = find();
  if (!found && install(`no ${name}`, packages)) found = find();
  if (found) console.log(`${name}: ${found}`);
  else {
    console.error(`no ${name}. Install one with:\n  ${installCommand(commands)}`);
    process.exitCode = 1;
  }
}
