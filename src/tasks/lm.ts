/** The next token of texts. */
import type { Task, Usage } from "./task.ts";

export const task: Task = {
  title: "a language model",
  target: "token",
  head: "vocabulary",
  loss: "cross-entropy",
  outputs: { least: 0, most: 0 },
  peft: "CAUSAL_LM",
  transformers: "AutoModelForCausalLM",
  hub: "text-generation",
};

export const usage: Usage = {
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
