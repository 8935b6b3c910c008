/** What the tests need of the system: installed on Debian (or a system like it) as root, named elsewhere. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

function isDebianRoot() {
  return process.platform === "linux" && process.getuid?.() === 0 && existsSync("/etc/debian_version");
}

/** Installs packages where this may be done; returns whether it was. */
export function install(why, packages) {
  if (!isDebianRoot()) return false;
  console.log(`${why}: installing ${packages.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { stdio: ["ignore", "ignore", "inherit"], env }).status === 0;
  return apt("update") && apt("install", "--no-install-recommends", "-y", ...packages);
}

/** The command that installs something on this system: `commands` by family, the last (of the key "") for all others. */
export function installCommand(commands) {
  const release =
    process.platform === "linux" && existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const ids = (release.match(/^(?:ID|ID_LIKE)=.*$/gm) ?? []).join(" ");
  return Object.entries(commands).find(([family]) => new RegExp(family).test(ids))[1];
}
