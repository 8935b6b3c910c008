"""
The baseline by scikit-learn: TF-IDF of words and characters with logistic regression, C chosen on the validation set.
`baseline.py SETS.json OUT.json`: of each set {name: {train, val, test}}, lists of [text, class id], what baseline.mjs
and test/classic/classic.test.ts compare. `baseline.py fixtures OUT.json` makes the sets up, and keeps them with it.
"""
import json
import random
import sys

import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_union

STRENGTHS = [0.1, 1, 10, 100, 1000]


def baseline(train, val, test):
    (texts, labels), (val_texts, val_labels), (test_texts, test_labels) = (zip(*rows) for rows in (train, val, test))
    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2)), TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    )
    rows, val_rows, test_rows = union.fit_transform(texts), union.transform(val_texts), union.transform(test_texts)
    best = None
    for c in STRENGTHS:
        model = LogisticRegression(C=c, solver="newton-cg", tol=1e-9, max_iter=1000).fit(rows, labels)
        loss = log_loss(val_labels, model.predict_proba(val_rows), labels=model.classes_)
        if best is None or loss < best[0]:
            best = loss, c, model
    loss, c, model = best
    return {
        "columns": rows.shape[1],
        "entries": rows.nnz,
        "c": c,
        "loss": loss,
        "accuracy": model.score(test_rows, test_labels),
        # Of two classes the second's. Of more, those of a row are compared without their mean.
        "scores": [[round(float(score), 7) for score in row] for row in model.decision_function(test_rows).reshape(len(test), -1)],
    }


SYLLABLES = "ba be ki lo mu na po ré ßa ťi 你 ありが ا 1 22 _ x".split()
BETWEEN = [" ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u0085", "\u001c", ", ", "! ", "-", "\ufeff", "🙂", "e\u0301 ", "'"]


def made_up(seed, classes, rows):
    """Texts whose words depend on their class, with letters, marks and spaces of all kinds."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(60)]
    words += [word.upper() for word in words[:10]] + ["İstanbul", "STRASSE", "ΟΔΟΣ"]
    favourites = [rng.sample(words, 8) for _ in range(classes)]

    def row():
        label = min(int(rng.random() * (classes + 1)), classes - 1)
        text = ""
        for _ in range(rng.randint(1, 9)):
            text += rng.choice(favourites[label] if rng.random() < 0.4 else words) + rng.choice(BETWEEN)
        return [text, label]

    return {name: [row() for _ in range(count)] for name, count in zip(("train", "val", "test"), rows)}


if sys.argv[1] == "fixtures":
    sets = {
        "two classes": made_up(1, 2, (90, 30, 30)),
        "three unequal classes": made_up(2, 3, (120, 40, 30)),
        "five classes, few rows": made_up(3, 5, (50, 30, 30)),
    }
    found = {name: {"sets": some, "expected": baseline(**some)} for name, some in sets.items()}
    found = {"scikit-learn": sklearn.__version__, "cases": found}
else:
    with open(sys.argv[1], encoding="utf-8") as file:
        found = {name: baseline(**some) for name, some in json.load(file).items()}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(found, file, ensure_ascii=True)
    file.write("\n")
