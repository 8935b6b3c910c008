/** Finds the browsers for the tests. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const CHROMIUM = [
  "chromium",
  "chromium-browser",
  "google-chrome-stable",
  "google-chrome",
  "chrome",
  "chrome.exe",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
const FIREFOX = [
  "firefox-esr",
  "firefox",
  "/Applications/Firefox.app/Contents/MacOS/firefox",
  "C:\\Program Files\\Mozilla Firefox\\firefox.exe",
];

/** The path of Chromium: from CHROMIUM, from PATH, or an installer's default location; null if there is none. */
export const findChromium = () => find("CHROMIUM", CHROMIUM);
/** The path of Firefox, likewise. */
export const findFirefox = () => find("FIREFOX", FIREFOX);

function find(variable, names) {
  const given = process.env[variable];
  if (given) return existsSync(given) ? given : null;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = names.flatMap((name) => (/[\\/]/.test(name) ? [name] : folders.map((folder) => join(folder, name))));
  return paths.find((path) => existsSync(path)) ?? null;
}
