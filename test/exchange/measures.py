"""
Measures by scikit-learn, for test/measures.test.ts: `measures.py OUT.json` makes up truth and probabilities, with ties,
and writes them with what they are measured by.
"""
import json
import sys

import numpy as np
import sklearn
from sklearn.calibration import _TemperatureScaling
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    matthews_corrcoef,
    precision_recall_curve,
    roc_auc_score,
)
from sklearn.preprocessing import label_binarize


def thresholds(positive, scores):
    """Of the second class: the largest F1, the largest recall with a precision, the largest precision with a recall."""
    precision, recall, at = precision_recall_curve(positive, scores)
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    best = lambda of, where: float(at[where][np.flatnonzero(of[where] == of[where].max())[-1]]) if where.any() else None
    return {
        "f1": best(f1, np.ones_like(f1, bool)),
        "precision=0.8": best(recall, precision >= 0.8),
        "precision=1": best(recall, precision >= 1),
        "recall=0.9": best(precision, recall >= 0.9),
    }


def case(seed, classes, rows, sharpness, decimals):
    rng = np.random.default_rng(seed)
    # Each class has a row, the first ones have more.
    drawn = rng.integers(0, classes, (2, rows - classes)).min(0)
    truth = rng.permutation(np.concatenate([np.arange(classes), drawn]))
    logits = sharpness * (rng.normal(size=(rows, classes)) + 1.2 * np.eye(classes)[truth])
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # Ties between rows; two classes have one probability and its complement.
    probabilities = np.maximum(np.round(probabilities, decimals), 10.0**-decimals)
    if classes == 2:
        probabilities[:, 1] = np.round(1 - probabilities[:, 0], decimals)
        probabilities = np.clip(probabilities, 10.0**-decimals, 1)
    predicted = probabilities.argmax(1)
    one = label_binarize(truth, classes=range(classes)) if classes > 2 else np.stack([1 - truth, truth], 1)
    chosen = range(1, 2) if classes == 2 else range(classes)
    scaling = _TemperatureScaling().fit(np.log(probabilities), truth)
    scaled = probabilities ** scaling.beta_
    scaled /= scaled.sum(1, keepdims=True)
    return {
        "classes": classes,
        "truth": truth.tolist(),
        "probabilities": probabilities.round(decimals).tolist(),
        "rocAuc": [roc_auc_score(one[:, i], probabilities[:, i]) for i in range(classes)],
        "prAuc": [average_precision_score(one[:, i], probabilities[:, i]) for i in range(classes)],
        "overallRocAuc": float(np.mean([roc_auc_score(one[:, i], probabilities[:, i]) for i in chosen])),
        "overallPrAuc": average_precision_score(one[:, chosen], probabilities[:, chosen], average="macro"),
        "balancedAccuracy": balanced_accuracy_score(truth, predicted),
        "mcc": matthews_corrcoef(truth, predicted),
        "temperature": float(1 / scaling.beta_),
        "scaledLoss": log_loss(truth, scaled, labels=range(classes)),
        **({"thresholds": thresholds(truth, probabilities[:, 1])} if classes == 2 else {}),
    }


cases = [case(1, 2, 60, 1.0, 2), case(2, 2, 40, 3.0, 3), case(3, 4, 80, 1.5, 2), case(4, 7, 60, 0.4, 3)]
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump({"scikit-learn": sklearn.__version__, "cases": cases}, file)
    file.write("\n")
