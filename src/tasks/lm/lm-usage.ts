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
  chat: {
    does: () => "answers as in its chats",
    python: [
      'messages = [{"role": "user", "content": "Hello"}]',
      'batch = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")',
      'answer = model.eval().generate(**batch, max_new_tokens=60)[0][batch["input_ids"].shape[1]:]',
      "print(tokenizer.decode(answer, skip_special_tokens=True))",
    ],
    javascript: [
      'const generate = await pipeline("text-generation", "./");',
      'const messages = [{ role: "user", content: "Hello" }];',
      "const [{ generated_text }] = await generate(messages, { max_new_tokens: 60, do_sample: false });",
      "console.log(generated_text.at(-1).content);",
    ],
  },
};
