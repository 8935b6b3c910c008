/**
 * Checks the system requirements of `npm test`, a WebGPU adapter and Chromium, and with --all those of `npm run
 * test:all`: Firefox, too. What is missing is installed (Mesa's software Vulkan driver, the packages chromium and
 * firefox-esr) on Debian and its derivatives when run as root. Otherwise the command to install it is printed, and the
 * exit code is 1; without Firefox its tests are skipped.
 */
import { spawnSync } from "node:child_process";
import { findChromium, findFirefox } from "./browsers.mjs";
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
  {
    name: "Firefox",
    find: findFirefox,
    packages: ["firefox-esr"],
    commands: {
      ubuntu: "sudo snap install firefox",
      debian: "sudo apt-get install firefox-esr",
      "fedora|rhel|centos": "sudo dnf install firefox",
      arch: "sudo pacman -S firefox",
      alpine: "apk add firefox",
      suse: "sudo zypper install MozillaFirefox",
      "": "Firefox; set the variable FIREFOX to its path if it is not found",
    },
    isOptional: true,
  },
];

const isAll = process.argv.includes("--all");
for (const { name, find, packages, commands, isOptional = false } of NEEDED.filter((one) => isAll || !one.isOptional)) {
  let found = find();
  if (!found && install(`no ${name}`, packages)) found = find();
  if (found) console.log(`${name}: ${found}`);
  else {
    console.error(`no ${name} found. To install one:\n  ${installCommand(commands)}`);
    if (!isOptional) process.exitCode = 1;
  }
}
