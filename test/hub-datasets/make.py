"""Makes the data sets in this folder, in the shape of three on the Hugging Face hub: a few rows of made-up text, written by `datasets`.

python make.py, with datasets and pyarrow. The bytes depend on their versions: the files are committed.
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Value

HERE = pathlib.Path(__file__).parent

CARD = """---
language:
- en
license: unknown
pretty_name: {name}
dataset_info:
  config_name: {config}
  features:
  - name: {text}
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
{names}
  splits:
{splits}
configs:
- config_name: {config}
  data_files:
{files}
{default}---
# {name}

A few made-up rows in the shape of the data set of this name.
"""


def make(name, config, folder, text, classes, splits):
    """Writes README.md and FOLDER/SPLIT-00000-of-00001.parquet."""
    features = Features({text: Value("string"), "label": ClassLabel(names=classes)})
    place = HERE / name / folder
    place.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        table = Dataset.from_dict({text: [r[0] for r in rows], "label": [r[1] for r in rows]}, features=features)
        table.to_parquet(str(place / f"{split}-00000-of-00001.parquet"))
    card = CARD.format(
        name=name,
        config=config,
        text=text,
        names="\n".join(f"          '{i}': {c}" for i, c in enumerate(classes)),
        splits="\n".join(f"  - name: {s}\n    num_bytes: {sum(len(t) for t, _ in r)}\n    num_examples: {len(r)}" for s, r in splits.items()),
        files="\n".join(f"  - split: {s}\n    path: {folder}/{s}-*" for s in splits),
        default="  default: true\n" if config != "default" else "",
    )
    (HERE / name / "README.md").write_text(card)


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


make("sms_spam", "plain_text", "plain_text", "sms", ["ham", "spam"], {"train": numbered(HAM, 0, 60) + numbered(SPAM, 1, 20)})
make(
    "ag_news",
    "default",
    "data",
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
