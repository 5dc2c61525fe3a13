#!/usr/bin/env bash
# scikit-image 0.26.0: adapted_rand_error returns the recall as the precision and the precision as the recall, against its documentation, and
# its alpha weighs the two the other way round: the rows of its table are the true image, and it takes them for the tested one.
#
# Guess: by the documentation the precision divides the pairs of pixels that are together in both images by those of the tested image, and the
#        recall by those of the true one. Of one true segment that is cut into two halves of 8 pixels all pairs of the test are right: the
#        precision is 1 and the recall 56 / 120 = 0.4667.
# Seen:  0.4667 and 1. Cut too fine looks like merged too much, which are mended in opposite ways. With alpha=1 the error is 1 minus the one,
#        not the other, so that what was to be punished more is punished less. With the default, 0.5, the error is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import skimage
from skimage.metrics import adapted_rand_error


def together(image):
    """Which pairs of two different pixels have one label."""
    labels = image.ravel()
    return (labels[:, None] == labels) & ~np.eye(labels.size, dtype=bool)


def precision_and_recall(true, tested):
    hits = (together(true) & together(tested)).sum()
    return float(hits / together(tested).sum()), float(hits / together(true).sum())


whole = np.ones((4, 4), int)
halves = np.repeat([1, 2], 8).reshape(4, 4)
random = [np.random.default_rng(seed).integers(1, 5, (6, 6)) for seed in (0, 1)]
found = {}
for name, pair in {"cut": (whole, halves), "merged": (halves, whole), "random": random}.items():
    error, *scores = (float(number) for number in adapted_rand_error(*pair))
    found[name] = [round(number, 4) for number in scores]
    ours = precision_and_recall(*pair)
    np.testing.assert_allclose(scores, ours[::-1], err_msg="precision and recall have changed")
    np.testing.assert_allclose(error, 1 - 2 * ours[0] * ours[1] / sum(ours))
    ends = [float(adapted_rand_error(*pair, alpha=alpha)[0]) for alpha in (0, 1)]
    np.testing.assert_allclose(ends, [1 - ours[0], 1 - ours[1]], err_msg="alpha has changed")
    print("scikit-image", skimage.__version__, name, "precision and recall:", found[name], "by definition", ours, "alpha 0 and 1:", ends)
assert found["cut"] == [0.4667, 1.0] and found["merged"] == [1.0, 0.4667]
END
