"""Pairs of texts: arguments DIR MODEL. See pairs.mjs.

GPT-2's tokenizer puts nothing between the texts of a pair; `join` puts <|endoftext|> there, as Lowrank does.
"""
import json
import os
import random
import sys

import torch
from common import WORDS, adapted
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForSequenceClassification, AutoTokenizer

END = "<|endoftext|>"
LENGTHS = range(1, 41)
torch.set_num_threads(2)


def tokenizer_of(path):
    tokenizer = AutoTokenizer.from_pretrained(path, pad_token=END, padding_side="right")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A", pair=f"$A {END} $B", special_tokens=[(END, tokenizer.eos_token_id)]
    )
    return tokenizer


def load_base(path):
    return AutoModelForSequenceClassification.from_pretrained(
        path, dtype=torch.float32, num_labels=2, pad_token_id=AutoTokenizer.from_pretrained(path).eos_token_id
    )


def encode(tokenizer, pairs, length, **more):
    first, second = zip(*pairs)
    return tokenizer(list(first), list(second), truncation="longest_first", max_length=length, **more)


def logits_of(model, tokenizer, pairs, length):
    """In batches with padding, as people use it."""
    model.eval()
    rows = []
    with torch.no_grad():
        for i in range(0, len(pairs), 8):
            rows += model(**encode(tokenizer, pairs[i : i + 8], length, padding=True, return_tensors="pt")).logits.tolist()
    return rows


def made_up(count, seed=3):
    """Pairs of texts of 0 to 20 words; only the first may be empty, as transformers reads the logits before padding."""
    rng = random.Random(seed)
    text = lambda least: " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, 20)))
    return [[text(0), text(1)] for _ in range(count)]


def prepare(folder, micro):
    tokenizer = tokenizer_of(micro)
    pairs = made_up(60)
    texts = [*pairs, ["only the first", ""], ["", ""]]
    model = adapted(load_base(micro), dict(target_modules=["c_attn", "c_proj"], r=4, lora_alpha=8), seed=1)
    place = os.path.join(folder, "from-peft", "pairs")
    model.save_pretrained(place)
    with open(os.path.join(folder, "pairs.json"), "w") as file:
        json.dump(
            {
                "pairs": pairs,
                "texts": texts,
                "ids": {length: encode(tokenizer, texts, length).input_ids for length in LENGTHS},
                "adapter": place,
                "length": 24,
                "logits": logits_of(model, tokenizer, pairs, 24),
            },
            file,
        )


if __name__ == "__main__":
    prepare(*sys.argv[1:])
