#!/usr/bin/env bash
# POT 0.9.7.post1, NumPy: in float32 the squared distances of ot.dist between points far from the origin are made of rounding errors, as it
# takes |x|**2 + |y|**2 - 2 x.y. Transport costs follow.
#
# Guess: optimal transport does not know where the origin is: two points, both moved by 1, cost 1, at (0, 0) and at (10000, 10000).
# Seen:  1 and 8. The costs between the points there are 0, 32, 16 and 16 for 1, 25, 9 and 1; of UTM coordinates, 30 m apart, 2097152 or
#        0 for 900. ot.solve_sample takes the same distances. In float64, or with the mean taken off before, it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "POT==0.9.7.post1" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import ot


def costs(corner, step, dtype=np.float32, apart=4):
    first = np.array([[0, 0], [apart, 0]]) + np.array(corner)
    x, y = first.astype(dtype), (first + np.array([step, 0])).astype(dtype)
    cost, half = ot.dist(x, y), np.full(2, 0.5, dtype)
    return cost.ravel().tolist(), float(ot.emd2(half, half, cost)), float(ot.solve_sample(x, y).value)


found = {
    "near": costs((0, 0), 1),
    "far": costs((1e4, 1e4), 1),
    "far in float64": costs((1e4, 1e4), 1, np.float64),
    "UTM": costs((5e5, 5.8e6), 30, apart=100)[0],
    "UTM in float64": costs((5e5, 5.8e6), 30, np.float64, apart=100)[0],
}
print("POT", ot.__version__, "numpy", np.__version__, "costs, transport, solve_sample:", found)
assert found["near"] == found["far in float64"] == ([1, 25, 9, 1], 1, 1) and found["UTM in float64"] == [900, 16900, 4900, 900]
assert found["far"][1] > 4 and found["far"][2] > 4 and max(found["UTM"]) > 1e5, "distances of far points have changed"
END
