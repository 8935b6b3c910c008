"""Writes src/io/tokenizer/character-classes.ts: what the library tokenizers takes each code point for.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 regex && python test/golden/reference/make_character_classes.py

Every code point is tried, because the library has its tables from several versions of Unicode.
"""
import base64
import io
from pathlib import Path

import regex
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import normalizers, pre_tokenizers

OUTPUT = Path(__file__).parents[3] / "src/io/tokenizer/character-classes.ts"
NAMES = ["control", "accent", "punctuation", "attached", "break", "prepended", "pictograph"]
LIMIT = 0x110000
POINTS = [point for point in range(LIMIT) if not 0xD800 <= point < 0xE000]


def charsmap():
    """SentencePiece's nmt_nfkc, which XLM-RoBERTa's vocabulary has."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"]), model_writer=model, vocab_size=7, minloglevel=2
    )
    return sentencepiece_model_pb2.ModelProto.FromString(model.getvalue()).normalizer_spec.precompiled_charsmap


def bert(**settings):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **settings}).normalize_str


clean, strip = bert(clean_text=True), bert(strip_accents=True)
split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
mapped = normalizers.Precompiled(charsmap()).normalize_str
# The map has no ASCII letter; it makes ª an a, and U+0344 U+0308 U+0301. Of a cluster of less than six bytes all that is
# behind what is mapped is lost, which tells what is one.
ACUTE, TWO = "\u0301", "\u0344"
assert [mapped(text) for text in ["x", "ª", TWO, "ª" + ACUTE]] == ["x", "a", "\u0308\u0301", "a"]


def classes(point):
    one = chr(point)
    if clean(f"a{one}b") == "ab":
        yield "control"
    if strip(one) == "":
        yield "accent"
    if len(split(f"a{one}b")) == 3:
        yield "punctuation"
    own = mapped(one)
    if point >= 0x80 and mapped(f"ª{ACUTE}{one}").startswith(f"a{ACUTE}"):
        yield "attached"
    elif mapped(one + TWO + ACUTE) == own + "\u0308\u0301":
        yield "break"
    elif mapped(f"{one}ª{ACUTE}") == f"{own}a{ACUTE}":
        yield "prepended"
    # What this joins to an emoji has no other trace.
    if regex.match(r"\p{Extended_Pictographic}", one):
        yield "pictograph"


values = bytearray(LIMIT)
for point in POINTS:
    values[point] = sum(1 << NAMES.index(name) for name in classes(point))
runs = bytearray()
start = 0
while start < LIMIT:
    end = start
    while end < LIMIT and values[end] == values[start]:
        end += 1
    runs.append(values[start])
    count = end - start
    while count >= 0x80:
        runs.append(count & 0x7F | 0x80)
        count >>= 7
    runs.append(count)
    start = end
text = base64.b64encode(runs).decode()
numbers = ", ".join(f"{name}: {1 << i}" for i, name in enumerate(NAMES))
OUTPUT.write_text(
    f"""/**
 * What the library `tokenizers` takes characters for. Made by test/golden/reference/make_character_classes.py; do not
 * edit. What BERT leaves out (control), takes for accents and punctuation; what a grapheme cluster has behind its first
 * character (attached), what ends one (break), and begins one (prepended), and emoji (pictograph).
 */
export const CLASSES = {{ {numbers} }} as const;

export const CLASS_LIMIT = 0x110000;

/** Runs of {{u8 classes, number of code points in groups of 7 bits}}, from code point 0 on, in base64. */
export const CLASS_RUNS =
  "{text}";
"""
)
print(len(runs), "bytes;", {name: sum(value >> i & 1 for value in values) for i, name in enumerate(NAMES)})
