/** The build repeats nothing, and takes no older or half-written output for a current one. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ifChanged } from "../../src/tools/if-changed.mjs";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

test("what is built is built again after a change of what it is made from, of itself, and after a failure", async () => {
  const folder = temporaryFolder();
  const [stamp, input, output] = ["stamp", "input", "output"].map((name) => join(folder, name));
  const about = { stamp: stamp!, inputs: [input!], outputs: [output!] };
  let text = "";
  /** How often it is made. */
  const made = async (before = () => {}) => {
    before();
    let times = 0;
    await ifChanged(about, () => {
      times++;
      writeFileSync(output!, `of ${text}`);
    });
    return times;
  };
  const change = (now: string) => () => {
    text = now;
    writeFileSync(input!, now);
  };
  assert.equal([await made(change("a")), await made(), await made(change("a"))], [1, 0, 0]);
  assert.equal([await made(change("b")), await made()], [1, 0]);
  assert.equal([await made(() => writeFileSync(output!, "of")), await made()], [1, 0]);
  assert.equal([await made(() => rmSync(output!)), await made()], [1, 0]);
  // Ended in the middle; the input is then what it was for the build before.
  change("c")();
  const failing = ifChanged(about, () => {
    writeFileSync(output!, "half");
    throw new Error("out of memory");
  });
  assert.match(await failing.catch(({ message }) => message), "out of memory");
  change("b")();
  assert.equal([await made(), await made()], [1, 0]);
  // Changed while it is read: made from the older one.
  change("d")();
  await ifChanged(about, () => {
    writeFileSync(output!, "of d");
    change("e")();
  });
  assert.equal([await made(), await made()], [1, 0]);
});
