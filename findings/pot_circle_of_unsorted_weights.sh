#!/usr/bin/env bash
# POT 0.9.7.post1: semidiscrete_wasserstein2_unif_circle, the distance of points on a circle from the uniform distribution, sorts the points
# but not their weights, so that each weight belongs to another point.
#
# Guess: 0.0125 for the six weighted points below, in any order: the optimal transport to 2000 equal points on the circle.
# Seen:  0.0357, and 0.0125 if the points come sorted. The other distances on the circle and on the line, wasserstein_circle and
#        wasserstein_1d, sort both, and with equal weights it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "POT==0.9.7.post1" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import ot

points, weights = np.array([0.64, 0.27, 0.04, 0.02, 0.81, 0.91]), np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
grid = (np.arange(2000) + 0.5) / 2000
equal = np.full(6, 1 / 6)


def by_transport(points, weights, others, theirs):
    gaps = np.abs(points[:, None] - others)
    return float(ot.emd2(weights, theirs, np.minimum(gaps, 1 - gaps) ** 2))


def distance(order, weights):
    return float(np.ravel(ot.semidiscrete_wasserstein2_unif_circle(points[order], weights[order]))[0])


given, ordered = np.arange(6), np.argsort(points)
found = {"given": distance(given, weights), "sorted": distance(ordered, weights), "equal": distance(given, equal)}
right = {name: by_transport(points, w, grid, np.full(2000, 1 / 2000)) for name, w in (("weighted", weights), ("equal", equal))}
other = points[::-1] + 0.05
circle = float(np.ravel(ot.wasserstein_circle(points, other % 1, weights, equal, p=2))[0])
print("POT", ot.__version__, found, "right", right, "another distance", circle)
np.testing.assert_allclose(circle, by_transport(points, weights, other % 1, equal), rtol=1e-5)
np.testing.assert_allclose([found["sorted"], found["equal"]], [right["weighted"], right["equal"]], rtol=1e-3)
assert found["given"] > 2 * right["weighted"], "weights of unsorted points have changed"
END
