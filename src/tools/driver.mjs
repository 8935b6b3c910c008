/**
 * Checks the system requirements of `npm test`: a WebGPU adapter, and Chromium. If one is missing, it is installed (Mesa's
 * software Vulkan driver, or the package chromium) on Debian and its derivatives when run as root. Otherwise the command to
 * install it is printed, and the exit code is 1.
 */
import { spawnSync } from "node:child_process";
import { findChromium } from "./chromium.mjs";
import { install, installCommand } from "./install.mjs";

// Each probe runs in a new process: the Vulkan loader searches for drivers only once.
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
      "": "Chromium or Google Chrome; set the variable CHROMIUM to its path if it is not found",
    },
  },
];

for (const { name, find, packages, commands } of NEEDED) {
  let found = find();
  if (!found && install(`no ${name}`, packages)) found = find();
  if (found) console.log(`${name}: ${found}`);
  else {
    console.error(`no ${name} found. To install one:\n  ${installCommand(commands)}`);
    process.exitCode = 1;
  }
}
