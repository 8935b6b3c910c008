/** Which settings the page offers. */
import * as assert from "uvu/assert";
import { applies, type Key } from "../../src/web/page/train/field-list.ts";
import { test } from "../helpers/harness.ts";

const KEYS: Key[] = ["mode", "rank", "lr", "calibrate", "labelSeparator", "virtualTokens"];

test("settings count by what is learned, by the method, and unless an adapter has them already", () => {
  const counting = (...rest: [Parameters<typeof applies>[1], Parameters<typeof applies>[2], boolean]) =>
    KEYS.filter((key) => applies(key, ...rest));
  assert.equal(counting("classification", "lora", false), ["mode", "rank", "lr", "calibrate"]);
  assert.equal(counting("classification", "lora", true), ["lr", "calibrate"]);
  assert.equal(counting("classification", "prompt", false), ["mode", "lr", "calibrate", "virtualTokens"]);
  assert.equal(counting("multi-label", "lora", false), ["mode", "rank", "lr", "labelSeparator"]);
  assert.equal(counting("regression", "lora", false), ["mode", "rank", "lr"]);
  assert.equal(counting("lm", "lora", false), ["mode", "rank", "lr"]);
});
