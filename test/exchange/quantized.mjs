/** Models freshly quantised by bitsandbytes, with QLoRA adapters: exact matrices; logits, loss and gradients. */
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleProgram } from "../../src/tools/bundles.mjs";

/** float32 beside float64. */
const TOLERANCE = 1e-5;
const SEED = 100;

export async function checkQuantized(work, python, must, report, { loadModel }) {
  const folder = join(work, "quantized");
  mkdirSync(folder, { recursive: true });
  must(python, ["test/exchange/make_quantized.py", folder, String(SEED)]);
  const outfile = resolve("build/exchange/quantized-ours.mjs");
  await bundleProgram("test/exchange/quantized.ts", outfile);
  const { measureErrors, openDevice, readCases } = await import(outfile);
  for (const [name, { sha256 }] of Object.entries(readCases(folder))) {
    const model = await loadModel(join(folder, name));
    const other = [];
    for (const [matrix, hash] of Object.entries(sha256)) {
      const values = await model.read(matrix);
      if (createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex") !== hash) other.push(matrix);
    }
    await model.close();
    report(
      other.length === 0,
      `quantised ${name}: matrices ${other.length ? `differ: ${other.join(", ")}` : "equal to the bit"}`,
    );
    for (const kind of ["wasm", "webgpu"]) {
      const device = await openDevice(kind);
      const { logits, loss, ...grads } = await measureErrors(folder, name, device);
      device.destroy();
      const worst = Math.max(...Object.values(grads));
      report(
        [logits, loss, worst].every((error) => error <= TOLERANCE),
        `quantised ${name} on ${kind}: logits ${logits.toExponential(1)}, loss ${loss.toExponential(1)}, gradients ${worst.toExponential(1)}`,
      );
    }
  }
}
