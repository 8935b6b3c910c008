/** What is made with a language model, in words and code. */
import type { Usage } from "../task.ts";

export const usage: Usage = {
  transformers: "AutoModelForCausalLM",
  hub: "text-generation",
  does: () => "continues texts",
  python: [
    'batch = tokenizer("Once upon a time", return_tensors="pt")',
    "print(tokenizer.decode(model.eval().generate(**batch, max_new_tokens=60)[0]))",
  ],
  javascript: [
    'const generate = await pipeline("text-generation", "./");',
    'const [{ generated_text }] = await generate("Once upon a time", { max_new_tokens: 60, do_sample: false });',
    "console.log(generated_text);",
  ],
  hasPipeline: true,
};
