#!/usr/bin/env bash
# implicit 0.7.3: precision_at_k divides by what can be hit at most, K or the number of a user's held-out items if that is smaller, added up
# over all users: for users with fewer than K such items it is the recall, and users with many items count more.
#
# Guess: one held-out item, found among ten recommendations, is a precision at 10 of 0.1; and the precision of two users is the mean of
#        theirs.
# Seen:  1.0. Of one user with a hit in eleven held-out items (10 of them count), and one with a hit in one, it is 2/11 = 0.18, neither 0.1,
#        which is the share of hits, nor 0.55, the mean of 1/10 and 1/1. With one item held out for each user, the usual test, it is the
#        hit rate: for three users whose items are found at 1, 2 and 3 it is 1/3, 2/3 and 1 for K of 1, 2 and 3, and the precision 1/3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "implicit==0.7.3"
cd "$work"
OPENBLAS_NUM_THREADS=1 "$work/env/bin/python" - <<'END'
import numpy as np
from implicit.evaluation import precision_at_k
from scipy.sparse import csr_matrix

ITEMS = 50


class Listed:
    """A model that recommends the items 0, 1, 2, ... to everybody."""

    def recommend(self, userid, user_items, N=10, **options):
        items = np.tile(np.arange(N, dtype=np.int32), (len(userid), 1))
        return items, -items.astype(np.float32)


def both(liked, k):
    """The precision of the package, and the mean over users of the share of recommended items that are liked."""
    test = np.zeros((len(liked), ITEMS), np.float32)
    for row, items in zip(test, liked):
        row[items] = 1
    nothing = csr_matrix(test.shape, dtype=np.float32)
    theirs = precision_at_k(Listed(), nothing, csr_matrix(test), K=k, show_progress=False, num_threads=1)
    return round(theirs, 4), round(float(np.mean([np.mean(np.isin(np.arange(k), items)) for items in liked])), 4)


many = [5, *range(20, 30)]
found = {"one item": both([[5]], 10), "full": both([list(range(12))], 10), "eleven and one": both([many, [5]], 10)}
rising = {k: both([[0], [1], [2]], k) for k in (1, 2, 3)}
print("implicit 0.7.3 and the shares:", found, "three users, by k:", rising)
assert found["full"] == (1, 1) and [share for _, share in rising.values()] == [0.3333] * 3
assert found["one item"] == (1, 0.1) and found["eleven and one"] == (0.1818, 0.1), "the divisor has changed"
assert [theirs for theirs, _ in rising.values()] == [0.3333, 0.6667, 1], "the hit rate has changed"
END
