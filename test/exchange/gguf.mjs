/** GGUF files against transformers and the package gguf: every tensor to the bit, and the loss of a GPT-2. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleProgram } from "../../src/tools/bundles.mjs";

/** The largest relative error of a loss: float32 on both sides. */
const TOLERANCE = 1e-5;

/** `files`: further GGUF files to compare. */
export async function checkGguf(work, micro, files, python, must, report, { LanguageModel }, device) {
  const folder = join(work, "gguf");
  mkdirSync(folder, { recursive: true });
  must(python, ["test/exchange/make_gguf.py", folder, micro, ...files]);
  const outfile = resolve("build/exchange/gguf-ours.mjs");
  await bundleProgram("src/io/gguf/gguf-model.ts", outfile);
  const { openGguf } = await import(outfile);
  const expected = JSON.parse(readFileSync(join(folder, "given.json"), "utf8"));
  const { models } = JSON.parse(readFileSync(join(folder, "expect.json"), "utf8"));
  for (const [name, tensors] of Object.entries(models)) expected.files[join(folder, `${name}.gguf`)] = tensors;
  for (const [path, theirs] of Object.entries(expected.files)) {
    const { config, tensors } = await openGguf(path);
    const hashes = new Map(Object.entries(theirs).map(([key, hash]) => [key.replace(/^transformer\./, ""), hash]));
    // Tied to the token table, it is not in the file.
    if (config.tie_word_embeddings !== false) hashes.delete("lm_head.weight");
    const wrong = [];
    for (const [key, hash] of hashes) {
      const values = await tensors.files.get(key)?.readF32(key);
      const found = values && createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
      if (found !== hash) wrong.push(key);
    }
    const extra = [...tensors.files.keys()].filter((key) => !hashes.has(key));
    await tensors.close();
    report(
      wrong.length + extra.length === 0,
      `GGUF ${path.split("/").at(-1)}: ${hashes.size} tensors, ${[...wrong, ...extra].join(", ") || "equal to the bit"}`,
    );
  }
  for (const [path, loss] of Object.entries(expected.losses)) {
    const lm = await LanguageModel.load(path, { device });
    const score = await lm.score(expected.text);
    lm.destroy();
    const error = Math.abs(score.loss / loss - 1);
    report(error <= TOLERANCE, `GGUF ${path.split("/").at(-1)}: loss ${score.loss}, transformers ${loss}`);
  }
}
