/** Firefox, which Playwright drives over WebDriver BiDi: as people have it, not a build of Playwright's. */
import { createRequire } from "node:module";
import { type BrowserContext, firefox } from "playwright-core";
import { afterAll } from "../helpers/harness.ts";

/** The path of Firefox; empty if there is none. */
export const FIREFOX = process.env.FIREFOX ?? "";

/** Opens Firefox with a new profile; it is closed after the file's last test. */
export async function openFirefox(): Promise<BrowserContext> {
  answerUnknown("emulation.setMediaFeaturesOverride");
  const browser = await firefox.launch({ channel: "moz-firefox", executablePath: FIREFOX });
  afterAll(() => browser.close());
  return browser.newContext();
}

interface Socket {
  send(data: unknown, ...rest: unknown[]): void;
  emit(event: "message", data: Buffer, isBinary: boolean): void;
}

/** Playwright 1.65 sends every new profile a command that Firefox 153 does not know: it is answered here. */
function answerUnknown(command: string): void {
  const { ws } = createRequire(import.meta.url)("playwright-core/lib/utilsBundle") as { ws: { prototype: Socket } };
  const { send } = ws.prototype;
  ws.prototype.send = function (this: Socket, data, ...rest) {
    const { id, method } = JSON.parse(String(data)) as { id: number; method: string };
    if (method !== command) return send.call(this, data, ...rest);
    const answer = Buffer.from(JSON.stringify({ type: "success", id, result: {} }));
    setImmediate(() => this.emit("message", answer, false));
  };
}
