"""Makes test/golden/vocabulary/patterns.json: the vocabulary of tokenizer.json beside it with what the tokenizers of
SmolLM2, Llama 3 and Qwen2 have in place of GPT-2's, and the ids that the library tokenizers gives texts with each.

    pip install tokenizers && python test/golden/reference/make_pattern_cases.py
"""
import json
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "test/golden/vocabulary"
FAST = json.loads((OUT / "tokenizer.json").read_text("utf8"))
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split_by(numbers):
    pattern = {"Regex": WORDS.replace("NUMBERS", numbers)}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**BYTES, "use_regex": False}]}


def template(token):
    id_ = FAST["model"]["vocab"][token]
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [id_], "tokens": [token]}},
    }


# Without the merges whose tokens no other needs, words are tokens by `ignore_merges` alone.
NEEDED = {part for pair in FAST["model"]["merges"] for part in pair}
FEWER = [pair for pair in FAST["model"]["merges"] if "".join(pair) in NEEDED]
CHANGES = {
    "smollm": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES]}},
    "llama-bpe": {
        "pre_tokenizer": split_by(r"\p{N}{1,3}"),
        "post_processor": {"type": "Sequence", "processors": [BYTES, template("<|endoftext|>")]},
        "model": {"ignore_merges": True, "merges": FEWER},
    },
    "qwen2": {"pre_tokenizer": split_by(r"\p{N}"), "normalizer": {"type": "NFC"}},
}
LETTERS = ["\n", "\r\n", " ", "  ", "\t", "\u3000", "\u0085", "a", "die", "DIE", "é", "語", "1", "23", "4567", "½", "٣", "!", "...", "'", "'s", "'LL", "\u0301"]
TEXTS = [
    "",
    *(first + second for first in LETTERS for second in LETTERS),
    *(first + " " + second + "\n" for first in LETTERS for second in ("Recht", "7", ";", " ")),
    *(ending + rest for ending in ("'s", "'S", "'t", "'M", "'rE", "'VE", "'ll", "'D", "'ſ", "'l", "'v", "'x") for rest in ("", "a", " 1")),
    "Jeder hat das Recht auf Leben, Freiheit und Sicherheit.",
    " der  die   das    und\n\n\n  oder \r\n\r\n zu",
    "1234567890 12345, 1.000.000 Menschen; 2026-11-28",
    "((und)) <|endoftext|> größe\u0301 <mask>end<",
    "e\u0301 A\u030a \u1100\u1161 \u212b \u2126 ﬁ \u0958 \u1e9b\u0323 o\u0302\u0323 \u304b\u3099 \u00b5",
    "<\u0338 =\u0338 > \u0338und\u0338 …\u0301 🙂\u0301 中\u0301 가\u11a8",
    "def f(x):\n\treturn x  # ok\n\n\nif a == 1:\n    b()\n",
]


def main():
    out = {}
    for name, change in CHANGES.items():
        json_ = {**FAST, **change, "model": {**FAST["model"], **change.get("model", {})}}
        tokenizer = Tokenizer.from_str(json.dumps(json_))
        cases = []
        for text in TEXTS:
            ids = []
            for as_text in (True, False):
                tokenizer.encode_special_tokens = as_text
                ids.append(tokenizer.encode(text).ids)
            cases.append([text, ids[0]] if ids[0] == ids[1] else [text, *ids])
        out[name] = {"change": change, "cases": cases}
    lines = [f'{json.dumps(name)}:{{"change":{dump(one["change"])},"cases":[\n' + ",\n".join(map(dump, one["cases"])) + "]}" for name, one in out.items()]
    (OUT / "patterns.json").write_text("{" + ",\n".join(lines) + "}\n", "utf8")


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


main()
