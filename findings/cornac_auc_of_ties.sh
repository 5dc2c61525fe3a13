#!/usr/bin/env bash
# cornac 3.0.1: in AUC a pair of items with equal scores is a pair in the wrong order: a model that tells nothing apart has 0, the worst
# value, and not 1/2.
#
# Guess: items that all have the same score have an area under the ROC curve of 0.5, as in scikit-learn, and ties count one half.
# Seen:  0.0 for a constant, and 0.25 instead of 0.5 for the scores 1, 0, 1, 0 of items of which the first two are liked. Random scores of
#        1000 items, rounded to one to five stars, have 0.39 instead of 0.53, and in float16 near 100, where few numbers differ, 0.002
#        instead of 0.50. Models that round, fall back to a default, or underflow look worse than a coin. Without ties it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-learn==1.9.1" "cornac==3.0.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from cornac.metrics import AUC
from sklearn.metrics import roc_auc_score


def both(scores, liked):
    items = np.arange(len(scores))
    theirs = AUC().compute(item_indices=items, pd_scores=np.asarray(scores), gt_pos=np.flatnonzero(liked))
    return round(float(theirs), 4), round(float(roc_auc_score(liked, scores)), 4)


rng = np.random.default_rng(0)
liked = np.arange(1000) < 100
noise = rng.normal(size=1000)
found = {
    "constant": both([1.0, 1.0, 1.0, 1.0], [1, 1, 0, 0]),
    "half": both([1.0, 0.0, 1.0, 0.0], [1, 1, 0, 0]),
    "random": both(noise, liked),
    "random in five stars": both(np.clip(np.round(noise + 3), 1, 5), liked),
    "random float16 near 100": both((100 + noise / 100).astype(np.float16), liked),
}
print("cornac and scikit-learn:", found)
assert found["random"][0] == found["random"][1]
assert found["constant"] == (0, 0.5) and found["half"] == (0.25, 0.5), "ties have changed"
assert found["random in five stars"][0] < 0.4 and found["random in five stars"][1] > 0.5, "rounded scores have changed"
assert found["random float16 near 100"][0] < 0.01 and found["random float16 near 100"][1] > 0.5, "float16 has changed"
END
