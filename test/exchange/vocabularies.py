"""Trains byte-level BPE vocabularies with the library tokenizers, and encodes texts with them: see vocabularies.mjs."""
import json
import os
import random
import re
import sys
from pathlib import Path
from unicodedata import normalize

import torch
from tokenizers import AddedToken, ByteLevelBPETokenizer, Regex, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

END = "<|endoftext|>"
TEXTS = 100_000
CODE = [AddedToken(" " * n, special=False) for n in range(16, 1, -1)] + [
    AddedToken("<|im_start|>", special=True, normalized=False),
    AddedToken("<fim>", special=False, normalized=False, rstrip=True),
    AddedToken("<mask>", special=False, normalized=False, lstrip=True),
    AddedToken("const", special=False, single_word=True),
    AddedToken("consts", special=False, normalized=False),
]

ENDINGS = ["'s", "'ll", "'S", "'LL", "'Re", "'vE", "'ſ", "'M", "'T"]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_by(pattern):
    return Sequence([Split(Regex(pattern), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


def begin_with(tokenizer, token):
    """Llama 3's: a token before every text."""
    template = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1", special_tokens=[(token, tokenizer.token_to_id(token))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])


# What a model's tokenizer has beside GPT-2's.
SMOLLM = {"split": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])}
LLAMA = {"split": split_by(WORDS.replace("NUMBERS", r"\p{N}{1,3}")), "begin": "<s>", "whole": True}
QWEN = {"split": split_by(WORDS.replace("NUMBERS", r"\p{N}")), "normalizer": normalizers.NFC()}


def lists(place, text, size):
    """vocab.json and merges.txt."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(text, vocab_size=size, min_frequency=1, special_tokens=[END], show_progress=False)
    tokenizer.save_model(place)
    tokenizer.add_special_tokens([END])
    return tokenizer._tokenizer


def without_merges(path, rng):
    """Takes merges away whose tokens no other merge needs, so that only `ignore_merges` makes these words tokens."""
    with open(path, encoding="utf8") as file:
        json_ = json.load(file)
    model = json_["model"]
    needed = {part for pair in model["merges"] for part in pair}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in needed or rng.random() < 0.5]
    model["ignore_merges"] = True
    with open(path, "w", encoding="utf8") as file:
        json.dump(json_, file, ensure_ascii=False)
    return Tokenizer.from_file(path)


def fast(place, text, size, added=(), alphabet=True, split=None, normalizer=None, begin=None, whole=False):
    """tokenizer.json."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = split or ByteLevel(add_prefix_space=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    letters = ByteLevel.alphabet() if alphabet else []
    special = ["<s>", "<pad>", END]
    tokenizer.train_from_iterator(
        text,
        BpeTrainer(vocab_size=size, min_frequency=1, special_tokens=special, initial_alphabet=letters, show_progress=False),
    )
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    if begin:
        begin_with(tokenizer, begin)
    path = os.path.join(place, "tokenizer.json")
    tokenizer.save(path)
    return without_merges(path, random.Random(5)) if whole else tokenizer


def texts_of(rng, lines, added):
    """Lines, parts of two lines, letters of all kinds, and added tokens among letters."""
    letters = [*"etaoin shrdlu EN  \n\t'ßäöÄé0123456789.,;-_=(){}<>|語🙂\u0301\u3000\u0085\ufeff²Ⅷ①가é\u0338ªª", *ENDINGS, "\r\n"]
    for i in range(TEXTS):
        kind = i % 4
        if kind == 0:
            yield rng.choice(lines)[:300]
        elif kind == 1:
            first, second = rng.choice(lines), rng.choice(lines)
            yield first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second) + 1) :][:80]
        elif kind == 2:
            yield "".join(rng.choice(letters) if rng.random() < 0.7 else chr(rng.randrange(32, 0xD800)) for _ in range(rng.randrange(30)))
        else:
            yield "".join(rng.choice(added if rng.random() < 0.4 else letters) for _ in range(rng.randrange(12)))


def prepare(folder, texts):
    declarations = [
        re.sub(r"<[^>]+>", " ", path.read_text("utf8")) for path in sorted(Path(texts).glob("*.html"))
    ]
    german = [text for text in declarations if "Menschenrechte" in text]
    code = [path.read_text("utf8") for path in sorted(Path("src").rglob("*.ts"))]
    kinds = {
        "20000-lists": (lists, declarations, 20_000, {}),
        "52000-fast": (fast, declarations, 52_000, {}),
        "code": (fast, code, 8_000, {"added": CODE}),
        "300": (fast, german, 300, {}),
        "smollm": (fast, declarations, 49_000, SMOLLM),
        "llama3": (fast, declarations, 30_000, LLAMA),
        "qwen2": (fast, declarations, 30_000, {**QWEN, "added": [CODE[15], CODE[19]]}),
        "qwen2-code": (fast, code, 8_000, {**QWEN, "added": CODE}),
        "bytes-missing": (fast, german, 400, {"alphabet": False}),
    }
    for name, (make, text, size, more) in kinds.items():
        place = os.path.join(folder, "vocabularies", name)
        os.makedirs(place)
        tokenizer = make(place, text, size, **more)
        lines = [line for part in text for line in part.split("\n") if line.strip()]
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        some = list(texts_of(random.Random(7), lines, added))
        if tokenizer.normalizer:
            # tokenizers has an older Unicode, without a few combining marks.
            some = [text for text in some if tokenizer.normalizer.normalize_str(text) == normalize("NFC", text)]
        rows = []
        for as_text in (True, False):
            tokenizer.encode_special_tokens = as_text
            rows.append([encoding.ids for encoding in tokenizer.encode_batch(some)])
        with open(os.path.join(place, "texts.jsonl"), "w", encoding="utf8") as out:
            for row in zip(some, *rows):
                out.write(json.dumps(row) + "\n")
        torch.manual_seed(1)
        end = tokenizer.token_to_id(END)
        sizes = dict(vocab_size=tokenizer.get_vocab_size() + 3, n_positions=48, n_layer=2, n_head=2, n_embd=16)
        GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=end, eos_token_id=end)).save_pretrained(place)
        # AutoTokenizer takes a GPT-2's to have GPT-2's pattern, whatever its tokenizer.json says.
        own = "split" in more
        wrapped = (
            PreTrainedTokenizerFast(tokenizer_file=os.path.join(place, "tokenizer.json"), eos_token=END, pad_token=END)
            if own
            else AutoTokenizer.from_pretrained(place, eos_token=END, pad_token=END)
        )
        wrapped.save_pretrained(place)


if __name__ == "__main__":
    prepare(*sys.argv[1:])
