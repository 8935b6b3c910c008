/** The page. */
import { keepForOffline } from "./offline.ts";

const log = document.querySelector<HTMLPreElement>("#log")!;
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => log.append(`${JSON.stringify(data)}\n`);
worker.onerror = ({ message }) => log.append(`${message}\n`);
document.querySelector("#start")!.addEventListener("click", () => worker.postMessage({ device: "wasm" }));
void keepForOffline();
