#!/usr/bin/env bash
# mir_eval 0.8.2: transcription_velocity fits a line from the estimated velocities to the true ones before it compares them, as documented,
# and the line may fall: loud for soft and soft for loud is perfect. If all true velocities are equal, every estimate is perfect.
#
# Guess: velocities of 20, 60 and 100 for true ones of 100, 60 and 20 have an F-measure of 1/3 or so, as only the middle one is right, and
#        1, 60 and 127 where all are 64 are wrong.
# Seen:  1 for both, as for the true ones, and 1 for any two notes whose estimates differ. Three equal estimates for 100, 60 and 20 have
#        1/3: no dynamics at all are worse than reversed ones.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "mir_eval==0.8.2" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from mir_eval.transcription_velocity import precision_recall_f1_overlap


def f_measure(true, estimated):
    n = len(true)
    starts = np.arange(n, dtype=float)
    notes = np.stack([starts, starts + 0.9], axis=1), 220.0 * 2 ** (starts / 12)
    return round(float(precision_recall_f1_overlap(*notes, np.array(true, float), *notes, np.array(estimated, float))[2]), 4)


found = {
    "right": f_measure([100, 60, 20], [100, 60, 20]),
    "reversed": f_measure([100, 60, 20], [20, 60, 100]),
    "equal estimates": f_measure([100, 60, 20], [60, 60, 60]),
    "equal ones": f_measure([64, 64, 64], [1, 60, 127]),
    "two notes": f_measure([100, 20], [63, 64]),
    "mixed up": f_measure([100, 60, 20, 80, 40], [60, 20, 80, 100, 40]),
}
print("mir_eval 0.8.2, F-measures:", found)
assert found["right"] == 1 and found["mixed up"] < 1 and found["equal estimates"] == 0.3333
assert found["reversed"] == found["equal ones"] == found["two notes"] == 1, "the fit of velocities has changed"
END
