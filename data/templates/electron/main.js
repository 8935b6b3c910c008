import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { app, BrowserWindow, ipcMain, net, protocol } from "electron";
import { load } from "lowrank";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
// A page from the disk can fetch no files: the window's have a protocol of their own.
const privileges = { standard: true, secure: true, supportFetchAPI: true };
protocol.registerSchemesAsPrivileged([{ scheme: "app", privileges }]);
app.whenReady().then(async () => {
  protocol.handle("app", ({ url }) => net.fetch(pathToFileURL(join(here("dist"), new URL(url).pathname)).href));
  const model = load(here("public/run"));
  ipcMain.handle("classify", async (_, text) => (await model).classify(text));
  new BrowserWindow({ webPreferences: { preload: here("preload.cjs") } }).loadURL("app://window/index.html");
});
