"""What transformers writes and how it scores texts: for the live check, and as a fixture.

python test/exchange/generation.py OUT MODEL writes OUT/generation.json and OUT/lm-adapter, an adapter of PEFT's.
"""
import json
import os
import sys

import torch
from common import VERSIONS, adapted
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS = 50
PENALTY = 1.3
PROMPTS = [
    "Once upon a time",
    "Dear friend,",
    "The weather today is",
    "I would like to",
    "In the year 1865, the",
    "Free entry! Call now to win",
    "She looked at him and said:",
    "def main():\n    ",
    "To be, or not to be",
    "1 2 3 4 5 6 7",
    "Dear Sir or Madam,\n\nI am writing",
    "naïve café — voilà",
    "😀 🎉 👩‍👩‍👧",
    "你好, 世界",
    "Q: What is the capital of France?\nA:",
    "a",
    " ",
    "The quick brown fox jumps over the lazy dog. " * 4,
    "HELLO WORLD",
    "http://www.example.com/",
]


def load(path, adapter=None, seed=3):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    if adapter:
        model = adapted(model, adapter, seed, task="CAUSAL_LM").eval()
    return model, AutoTokenizer.from_pretrained(path)


@torch.no_grad()
def greedy(model, tokenizer, prompts=PROMPTS, tokens=TOKENS, **settings):
    """The new ids behind each prompt, one prompt at a time."""
    written = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=tokens, do_sample=False, pad_token_id=50256, **settings)
        written.append(out[0, ids["input_ids"].shape[1] :].tolist())
    return written


@torch.no_grad()
def loss(model, tokenizer, text):
    """Mean loss of all tokens of a text behind <|endoftext|>, in blocks of the context, every token predicted once."""
    ids = torch.tensor([50256, *tokenizer(text, verbose=False)["input_ids"]])
    virtual = getattr(model.active_peft_config, "num_virtual_tokens", 0) if hasattr(model, "active_peft_config") else 0
    context = model.config.max_position_embeddings - virtual
    total = 0.0
    for first in range(0, len(ids) - 1, context):
        block = ids[first : first + context]
        targets = ids[first + 1 : first + 1 + context]
        logits = model(block[None, : len(targets)]).logits[0, -len(targets) :].double()
        total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
    return {"tokens": len(ids) - 1, "loss": total / (len(ids) - 1)}


def expected(model, tokenizer):
    return {
        "greedy": greedy(model, tokenizer),
        "penalty": greedy(model, tokenizer, PROMPTS[:10], repetition_penalty=PENALTY),
        "score": loss(model, tokenizer, "\n".join(PROMPTS)),
    }


def main(out, micro):
    model, tokenizer = load(micro)
    with_adapter, _ = load(micro, dict(target_modules=["c_attn"], r=2, lora_alpha=4))
    folder = os.path.join(out, "lm-adapter")
    with_adapter.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    config = os.path.join(folder, "adapter_config.json")
    with open(config) as file:
        text = file.read().replace(json.dumps(micro), '"gpt2-micro"')
    with open(config, "w") as file:
        file.write(text)
    result = {
        "versions": VERSIONS,
        "prompts": PROMPTS,
        "tokens": TOKENS,
        "repetition_penalty": PENALTY,
        "plain": expected(model, tokenizer),
        "adapter": expected(with_adapter, tokenizer),
    }
    with open(os.path.join(out, "generation.json"), "w") as file:
        json.dump(result, file, ensure_ascii=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
