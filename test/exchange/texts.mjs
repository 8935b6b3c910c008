/** What transformers writes, token for token, on both devices: see exchange.py, `texts`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export async function checkTexts(work, micro, report, { LanguageModel, openDevice }) {
  const { prompts, jobs } = JSON.parse(readFileSync(join(work, "texts.json"), "utf8"));
  for (const name of ["wasm", "webgpu"]) {
    const device = await openDevice(name);
    for (const { name: job, model = micro, adapter, tokens: maxNewTokens, ids: wanted } of jobs) {
      const lm = await LanguageModel.load(adapter ?? model, { device, ...(adapter === undefined ? {} : { model }) });
      const written = await lm.complete(prompts.slice(0, wanted.length), { maxNewTokens });
      lm.destroy();
      const same = written.filter(({ ids }, i) => JSON.stringify(ids) === JSON.stringify(wanted[i])).length;
      report(
        same === wanted.length,
        `${job} writes on ${name}: ${same} of ${wanted.length} texts, ${maxNewTokens} tokens`,
      );
    }
    device.destroy();
  }
}
