/** Byte-level BPE vocabularies trained by `tokenizers`: ids of 100,000 texts each, with and without special tokens. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export async function checkVocabularies(work, report, { loadModel, Tokenizer }) {
  const folder = join(work, "vocabularies");
  for (const name of readdirSync(folder)) {
    const start = performance.now();
    const model = await loadModel(join(folder, name));
    const tokenizer = await Tokenizer.load({ model });
    const seconds = (performance.now() - start) / 1000;
    const { begin } = model.vocabulary;
    await model.close();
    const isSame = (ids, wanted) => ids.length === wanted.length && wanted.every((id, i) => ids[i] === id);
    let [texts, wrong, kept] = [0, 0, 0];
    for (const line of readFileSync(join(folder, name, "texts.jsonl"), "utf8")
      .trim()
      .split("\n")) {
      const [text, ids, special] = JSON.parse(line);
      const own = tokenizer.encode(text);
      texts++;
      if (!isSame(own, ids) || !isSame(tokenizer.encode(text, { allowSpecial: true }), special)) wrong++;
      const back = tokenizer.decode(begin ? own.subarray(1) : own);
      // An added token is found before what is around it is composed with it.
      const form = (one) => (name.startsWith("qwen2") ? one.normalize("NFC") : one);
      if (form(back) === form(text)) kept++;
    }
    report(
      // Where tokens take white space, or bytes are missing, a text does not come back.
      wrong === 0 && (kept === texts || ["code", "qwen2-code", "bytes-missing"].includes(name)),
      `vocabulary ${name}: ${wrong} of ${texts} texts have other ids, ${kept} come back, loaded in ${seconds.toFixed(2)} s`,
    );
  }
}
