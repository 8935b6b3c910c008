/** Installs system packages for the tests: itself as root on Debian and its derivatives, otherwise by instructions. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

function isDebianRoot() {
  return process.platform === "linux" && process.getuid?.() === 0 && existsSync("/etc/debian_version");
}

/** Whether the package list has been updated today. */
let isUpdated = false;

/** Installs packages if permitted. Returns whether they were installed. */
export function install(why, packages) {
  if (!isDebianRoot()) return false;
  console.log(`${why}: installing ${packages.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { stdio: ["ignore", "ignore", "inherit"], env }).status === 0;
  isUpdated ||= apt("update");
  return isUpdated && apt("install", "--no-install-recommends", "-y", ...packages);
}

/** The install command for this system: `commands` by distribution family; the key "" is for all others. */
export function installCommand(commands) {
  const release =
    process.platform === "linux" && existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const ids = (release.match(/^(?:ID|ID_LIKE)=.*$/gm) ?? []).join(" ");
  return Object.entries(commands).find(([family]) => new RegExp(family).test(ids))[1];
}
