#!/usr/bin/env bash
# mapie 1.6.0: the calibration errors have one bin fewer than is asked for, and with split_strategy="array split" they depend on the order
# of the examples: the array is split as it comes, and the largest number of each part is taken for the end of a bin.
#
# Guess: two of four examples at 0.25 and always right, two at 0.75 and always wrong: with two bins, 0 to 0.5 and 0.5 to 1, the expected
#        calibration error is 0.75, in any order; with one bin it is 0.
# Seen:  0 with num_bins=2, which is perfect calibration, 0.75 with 3, and nan with 1: num_bins numbers are taken as edges. With "array
#        split" it is 0.75 if the examples come sorted by score and 0 if they alternate; 20 bins of 2000 random scores have 0.0051 and,
#        sorted, 0.0328. top_label_ece bins in the same way: 0 for two bins.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-learn==1.9.1" "mapie==1.6.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from mapie.metrics.calibration import expected_calibration_error, top_label_ece


def by_formula(right, scores, bins):
    which = np.minimum((scores * bins).astype(int), bins - 1)
    return sum(abs(right[which == i].mean() - scores[which == i].mean()) * np.mean(which == i) for i in set(which))


def of_mapie(right, scores, bins, strategy="uniform"):
    return round(expected_calibration_error(right, scores, num_bins=bins, split_strategy=strategy), 4)


right, scores = np.array([1, 1, 0, 0]), np.array([0.25, 0.25, 0.75, 0.75])
uniform = {bins: of_mapie(right, scores, bins) for bins in (1, 2, 3)}
turns = [0, 2, 1, 3]
split = [of_mapie(right, scores, 2, "array split"), of_mapie(right[turns], scores[turns], 2, "array split")]
rng = np.random.default_rng(0)
many = rng.uniform(size=2000)
hits = (rng.uniform(size=2000) < many).astype(int)
order = many.argsort()
random = [of_mapie(hits, many, 20, "array split"), of_mapie(hits[order], many[order], 20, "array split")]
top = round(top_label_ece(right, scores, y_score_arg=np.ones(4, int), num_bins=2, split_strategy="uniform"), 4)
print("one, two and three bins:", uniform, "array split, sorted and alternating:", split, "random and sorted:", random, "top label:", top)
assert by_formula(right, scores, 2) == 0.75 and by_formula(right, scores, 1) == 0
assert of_mapie(hits, many, 10) == round(by_formula(hits, many, 9), 4) != round(by_formula(hits, many, 10), 4), "ten bins have changed"
assert uniform[2] == top == 0 and uniform[3] == 0.75 and np.isnan(uniform[1]), "the number of bins has changed"
assert split == [0.75, 0] and random == [0.0051, 0.0328], "array split has changed"
END
