#!/usr/bin/env bash
# medpy 0.5.2: mutual_information, by its documentation with the natural logarithm, is in bits. cosine_2, by its documentation a distance of
# histograms between 0 and 1 that is 0 for equal ones, is 0.36 for equal ones.
#
# Guess: an image of as many zeros as ones shares ln 2 = 0.693 with itself, as in scikit-learn; cosine_2 of a histogram and itself is 0.
# Seen:  1.0, and 2.0 for four grey values, 1 / ln 2 = 1.44 times as much: a weight of such a term beside another loss, or a threshold from
#        a paper, is off by that. cosine_2 is 1 - 2 cos / pi, without the arccosine that would make it an angle: between 0.3634 for equal
#        histograms and 1 for those without a common bin. cosine_1 and noelle_4, an angle, too, are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-learn==1.9.1" "medpy==0.5.2"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from medpy.metric.histogram import cosine_1, cosine_2, noelle_4
from medpy.metric.image import mutual_information
from sklearn.metrics import mutual_info_score

coins = np.array([[0, 1, 1, 0], [1, 0, 0, 1]])
grey = np.array([[0, 10], [20, 30]])
own = [(float(mutual_information(x, x)), float(mutual_info_score(x.ravel(), x.ravel()))) for x in (coins, grey)]
equal, apart = (np.array([0.5, 0.3, 0.2]),) * 2, (np.array([1.0, 0.0]), np.array([0.0, 1.0]))
distances = {f.__name__: [round(float(f(*pair)), 4) for pair in (equal, apart)] for f in (cosine_1, noelle_4, cosine_2)}
print("medpy and scikit-learn:", own, "distances of equal histograms, and of those without a common bin:", distances)
assert all(abs(bits * np.log(2) - nats) < 1e-6 for bits, nats in own) and own[0][0] == 1, "the unit has changed"
assert distances["cosine_1"] == distances["noelle_4"] == [0, 1]
assert distances["cosine_2"] == [0.3634, 1], "cosine_2 has changed"
END
