/** Which pages have a phone's budget of memory: an iPad calls itself a Macintosh. */
import * as assert from "uvu/assert";
import { pageMemory, tellTouchPoints } from "../../src/platform/page-memory.ts";
import { test } from "../helpers/harness.ts";

const SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";
const MACINTOSH = `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${SAFARI}`;
const PHONE_BYTES = 1.2e9;

for (const [what, userAgent, maxTouchPoints, bytes] of [
  ["a Macintosh", MACINTOSH, 0, undefined],
  ["an iPad", MACINTOSH, 5, PHONE_BYTES],
  ["an iPad that asks for pages of phones", `Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) ${SAFARI}`, 5, PHONE_BYTES],
  ["an iPhone", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) ${SAFARI}`, 5, PHONE_BYTES],
  ["an Android phone", "Mozilla/5.0 (Linux; Android 10; K) Chrome/140.0.0.0 Mobile Safari/537.36", 5, PHONE_BYTES],
  ["a notebook with a touch screen", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0.0.0", 10, undefined],
] as const)
  test(`${what} has ${bytes === undefined ? "no known limit" : `${bytes / 1e9} GB`}`, () => {
    assert.is(pageMemory({ userAgent, maxTouchPoints }), bytes);
  });

test("a worker, which has no touch points, is told those of its page", () => {
  const worker = { userAgent: MACINTOSH };
  assert.is(pageMemory(worker), undefined);
  tellTouchPoints(5);
  assert.is(pageMemory(worker), PHONE_BYTES);
  tellTouchPoints(0);
  assert.is(pageMemory(worker), undefined);
});
