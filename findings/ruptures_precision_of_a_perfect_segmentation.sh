#!/usr/bin/env bash
# ruptures 1.1.10: precision and recall of a segmentation that is right in every change point are less than 1 if two change points are
# closer to each other than the margin: the first true one takes all found ones within its margin and counts as one hit.
#
# Guess: a segmentation compared with itself has precision 1 and recall 1; and a margin of 10, "allowed error (in points)", allows an error
#        of 10 points.
# Seen:  1/2 and 1/2 for change points at 100 and 105 with the margin of 10, which is the default, 1/3 and 1/3 for three within it, and 1
#        with a margin of 5. An error of exactly 10 is a miss, 9 is a hit. Of two methods, the one that finds fewer of such points gets the
#        higher precision: 100 alone has 1 and 1/2. The Rand index is 1 and the Hausdorff distance 0, as they should be.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "ruptures==1.1.10"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from ruptures.metrics import hausdorff, precision_recall, randindex
from scipy.optimize import linear_sum_assignment


def matched(true, found, margin=10):
    """Precision and recall by the largest one-to-one matching of change points that are at most the margin apart."""
    hits = np.abs(np.subtract.outer(true[:-1], found[:-1])) <= margin
    count = hits[linear_sum_assignment(hits, maximize=True)].sum()
    return count / (len(found) - 1), count / (len(true) - 1)


pair, three = [100, 105, 200], [100, 103, 106, 200]
itself = {"two": precision_recall(pair, pair), "three": precision_recall(three, three), "margin of 5": precision_recall(pair, pair, 5)}
errors = {error: precision_recall([100, 200], [100 + error, 200]) for error in (9, 10)}
fewer = precision_recall(pair, [100, 200])
print("ruptures: itself:", itself, "errors of 9 and 10:", errors, "one of two:", fewer, randindex(pair, pair), hausdorff(pair, pair))
assert matched(pair, pair) == matched(three, three) == matched([100, 200], [110, 200]) == (1, 1)
assert randindex(pair, pair) == 1 and hausdorff(pair, pair) == 0 and itself["margin of 5"] == errors[9] == (1, 1) and fewer == (1, 0.5)
assert itself["two"] == (0.5, 0.5) and itself["three"] == (1 / 3, 1 / 3), "close change points have changed"
assert errors[10] == (0, 0), "the margin has changed"
END
