/** Where the page's worker has its models from: what it opens stays readable for whoever asked first. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openModel } from "../src/web/worker/sources.ts";
import { temporaryFolder } from "./border.ts";
import { test } from "./harness.ts";
import { tinyModel } from "./tiny.ts";

test("calls at the same time share one model, and it can be read while another one is opened", async () => {
  const folder = temporaryFolder();
  const [first, second] = [tinyModel(join(folder, "first")), tinyModel(join(folder, "second"))];
  const [one, same] = await Promise.all([openModel(first), openModel(first)]);
  assert.is(one, same);
  const other = await openModel(second);
  assert.is.not(other, one);
  for (const model of [one, other]) assert.is((await model.read("wte.weight", 0, 1)).length, 16);
  await Promise.all([one.close(), other.close()]);
});

test("a model that could not be opened is opened again when it is asked for again", async () => {
  const directory = join(temporaryFolder(), "later");
  await openModel(directory).then(
    () => assert.unreachable(),
    () => {},
  );
  tinyModel(directory);
  const model = await openModel(directory);
  assert.is(model.directory, directory);
  await model.close();
});
