/** GPT-2's relatives as transformers writes them: logits, loss, all gradients on both backends, generation, export. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleProgram } from "../../src/tools/bundles.mjs";

/** Relative L2 error, float32 on both sides. */
const TOLERANCE = 1e-5;

function difference(got, want) {
  if (got.length !== want.length) return { relative: Number.NaN, most: Number.NaN };
  let [square, norm, most] = [0, 0, 0];
  want.forEach((value, i) => {
    square += (got[i] - value) ** 2;
    norm += value ** 2;
    most = Math.max(most, Math.abs(got[i] - value));
  });
  // Half a gradient is noise: that of the keys' biases is 0 but for rounding.
  return { relative: Math.sqrt(square / Math.max(norm, 1e-6)), most };
}

/** Reports one line a checkpoint and device, and leaves merged models in `work` for `relatives.py score`. */
export async function checkRelatives(work, python, must, report) {
  const folder = join(work, "relatives");
  mkdirSync(folder, { recursive: true });
  must(python, ["test/exchange/relatives.py", "make", folder]);
  const outfile = resolve("build/exchange/relatives-ours.mjs");
  await bundleProgram("test/exchange/relatives.ts", outfile);
  const { compute } = await import(outfile);
  const merged = [];
  for (const job of JSON.parse(readFileSync(join(folder, "relatives.json"), "utf8")))
    for (const device of ["wasm", "webgpu"]) {
      const { name, objective, directory, ids, shards } = job;
      const found = await compute(job, device);
      const logits = difference(found.logits, job.logits);
      const names = Object.keys(job.grads);
      const grads = names.map((one) => difference(found.grads[one] ?? [], job.grads[one]).relative);
      const worst = grads.indexOf(Math.max(...grads));
      const V = found.logits.length / ids.flat().length;
      const ends = ids.flatMap((row, b) => job.logits.slice(((b + 1) * row.length - 1) * V, (b + 1) * row.length * V));
      const written = found.written && difference(found.written, ends);
      const all = [logits.relative, Math.abs(found.loss - job.loss), grads[worst], written?.relative ?? 0];
      const good = all.every((error) => error <= TOLERANCE) && Object.keys(found.grads).length === names.length;
      report(
        good && (name !== "sharded" || shards > 2),
        `relative ${name} on ${device}: logits ${logits.relative.toExponential(1)} (largest difference ` +
          `${logits.most.toExponential(1)}), gradients ${grads[worst].toExponential(1)} (${names[worst]})` +
          (written ? `, generated ${written.relative.toExponential(1)}` : ""),
      );
      const to = join(folder, `merged-${name}-${device}`);
      mkdirSync(to, { recursive: true });
      cpSync(join(directory, "config.json"), join(to, "config.json"));
      writeFileSync(join(to, "model.safetensors"), found.trained.file);
      merged.push({ name: `${name} on ${device}`, objective, directory: to, ids, logits: found.trained.logits });
    }
  writeFileSync(join(folder, "merged.json"), JSON.stringify(merged));
  must(python, ["test/exchange/relatives.py", "score", folder]);
}
