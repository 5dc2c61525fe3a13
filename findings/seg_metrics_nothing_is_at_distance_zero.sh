#!/usr/bin/env bash
# seg-metrics 1.2.8: a prediction without a single voxel has all surface distances 0, the best there are: where a mask is empty its distance
# map is set to 0, and the distances of the other surface are read from it.
#
# Guess: inf or nan, or the size of the image, for the Hausdorff and the mean distance of an empty prediction, or of one where nothing is.
# Seen:  0 for hd, hd95, msd, mdsd and stdsd of both, beside a Dice score of 0, where a cube that is one voxel off has 1, 1 and 0.385, and one
#        that does not meet the true one 4.36. A model that finds nothing has the smallest mean distance over patients. What is logged then
#        speaks of precision and recall only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "seg-metrics==1.2.8"
cd "$work"
"$work/env/bin/python" - <<'END'
import logging

import numpy as np
from seg_metrics.seg_metrics import write_metrics

logging.disable()
names = ["dice", "hd", "hd95", "msd", "mdsd", "stdsd"]
nothing = np.zeros((8, 8, 8), int)
cube, moved = nothing.copy(), nothing.copy()
cube[2:5, 2:5, 2:5] = moved[3:6, 2:5, 2:5] = 1


def scores(true, predicted):
    found = write_metrics([1], gdth_img=true, pred_img=predicted, metrics=list(names))[0]
    return [round(float(found[name][0]), 3) for name in names]


found = {
    "moved": scores(cube, moved),
    "nothing predicted": scores(cube, nothing),
    "nothing there": scores(nothing, cube),
    "far off": scores(cube, np.roll(moved, 3, axis=(1, 2))),
}
print("seg-metrics 1.2.8:", ", ".join(names), found)
assert found["moved"][:4] == [0.667, 1, 1, 0.385] and found["far off"][0] == 0 and found["far off"][1] > 3
assert found["nothing predicted"] == found["nothing there"] == [0] * 6, "distances of nothing have changed"
END
