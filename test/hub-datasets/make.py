"""Makes the data sets in this folder, in the shape of three on the Hugging Face hub: a few rows of made-up text, written by `datasets`.

python make.py, with datasets and pyarrow. The bytes depend on their versions: the files are committed.
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Value

HERE = pathlib.Path(__file__).parent

def make(name, config, text, classes, splits):
    """Writes CONFIG/SPLIT/0000.parquet, as on the branch refs/convert/parquet."""
    features = Features({text: Value("string"), "label": ClassLabel(names=classes)})
    for split, rows in splits.items():
        place = HERE / name / config / split
        place.mkdir(parents=True, exist_ok=True)
        table = Dataset.from_dict({text: [r[0] for r in rows], "label": [r[1] for r in rows]}, features=features)
        table.to_parquet(str(place / "0000.parquet"))


HAM = ["see you at {} by the station", "did you feed the cat at {}?", "lunch at {}, my treat\nand bring Tom"]
SPAM = ["WIN {} pounds now, text CLAIM", "Your loan of {} is approved, call now", "FREE ringtone {}! reply YES"]
NEWS = [
    "Leaders of {} countries meet in Geneva to discuss a treaty",
    "Striker scores {} goals as the home side wins the cup",
    "Shares fall {} percent after the bank's weak results",
    "New chip has {} cores and runs cooler, its makers say",
]
NEG = "I wanted my {} minutes back. <br /><br />The plot makes no sense and the actors look bored."
POS = "A wonderful film: {} scenes that I will not forget, and music to match. Très bien!"


def numbered(texts, label, count, start=0):
    return [(texts[i % len(texts)].format(i + start), label) for i in range(count)]


make("sms_spam", "plain_text", "sms", ["ham", "spam"], {"train": numbered(HAM, 0, 60) + numbered(SPAM, 1, 20)})
make(
    "ag_news",
    "default",
    "text",
    ["World", "Sports", "Business", "Sci/Tech"],
    {
        "train": [row for i in range(20) for c in range(4) for row in numbered([NEWS[c]], c, 1, i)],
        "test": [row for i in range(5) for c in range(4) for row in numbered([NEWS[c]], c, 1, 100 + i)],
    },
)
make(
    "imdb",
    "plain_text",
    "text",
    ["neg", "pos"],
    {
        "train": numbered([NEG], 0, 30) + numbered([POS], 1, 30),
        "test": numbered([NEG], 0, 10, 100) + numbered([POS], 1, 10, 100),
        "unsupervised": numbered([POS], -1, 10, 200),
    },
)

# Columns of other types, and a label that is a float.
rows = 12
pq.write_table(
    pa.table(
        {
            "text": [f"message number {i}" for i in range(rows)],
            "tags": [["a", "b"]] * rows,
            "image": [{"bytes": b"\x89PNG", "path": "a.png"}] * rows,
            "raw": [b"\xff\xfe"] * rows,
            "score": [float(i % 2) for i in range(rows)],
            "count": pa.array([i % 3 for i in range(rows)], pa.int64()),
            "label": pa.array(["yes" if i % 2 else "no" for i in range(rows)]).dictionary_encode(),
        }
    ),
    HERE / "types.parquet",
    compression="zstd",
)

# A few bytes that stand for texts of 17 MB.
pq.write_table(
    pa.table({"text": ["x" * 17_000_000] * 4, "label": ["a", "b"] * 2}), HERE / "long.parquet", compression="zstd"
)
