#!/usr/bin/env bash
# pyannote.metrics 4.2.0: det_curve gives scores that separate two classes without an error an equal error rate of 25 %. It averages the false
# alarms and misses of the two points around the crossing, and scikit-learn leaves out the points on straight pieces of the curve.
#
# Guess: 0 where all positives score higher than all negatives, and otherwise the rate at which there are as many misses as false alarms.
# Seen:  0.25 for 2, 100 and 10000 scores of each class, as the points around the crossing are (0, 0) and (1, 0). 0.35 for 0.2 if one positive
#        of five is below 1000 negatives, 0.1875 for 0.25 if one pair of four and four is in the wrong order. Two normal distributions of 1000
#        scores have 0.15925 for 0.159: long curves are right. A system without an error looks worse than one with a sixth of its scores wrong.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scikit-learn==1.9.1" "pyannote.metrics==4.2.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from pyannote.metrics.binary_classification import det_curve
from sklearn.metrics import roc_curve


def crossing(true, scores):
    """The point of the ROC curve, with straight pieces between its points, at which misses equal false alarms."""
    alarms, hits, _ = roc_curve(true, scores, drop_intermediate=False)
    gap = alarms - (1 - hits)
    at = int(np.argmax(gap >= 0))
    part = gap[at - 1] / (gap[at - 1] - gap[at])
    return float(alarms[at - 1] + part * (alarms[at] - alarms[at - 1]))


def both(negatives, positives):
    true = np.repeat([False, True], [len(negatives), len(positives)])
    scores = np.concatenate([negatives, positives])
    return round(float(det_curve(true, scores)[3]), 5), round(crossing(true, scores), 5)


rng = np.random.default_rng(0)
perfect = {n: both(np.linspace(0, 0.4, n), np.linspace(0.6, 1, n)) for n in (2, 100, 10_000)}
five = both(np.linspace(0.1, 0.5, 1000), np.array([0.0, 0.9, 0.92, 0.94, 0.96]))
four = both(np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.5, 0.7, 0.8, 0.9]))
normal = both(rng.normal(0, 1, 1000), rng.normal(2, 1, 1000))
print("pyannote.metrics 4.2.0, and the crossing:", perfect, "five:", five, "four:", four, "normal:", normal)
assert abs(normal[0] - normal[1]) < 1e-3 and [five[1], four[1]] == [0.2, 0.25]
assert set(perfect.values()) == {(0.25, 0.0)}, "perfect scores have changed"
assert [five[0], four[0]] == [0.35, 0.1875], "short curves have changed"
END
