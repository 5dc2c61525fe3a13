#!/usr/bin/env bash
# scoringrules 0.8.0 and 0.10.0: crps_ensemble without an estimator is another score in the newer one: the default went from "pwm", which is
# the fair score of an ensemble, to "qd", the score of its empirical distribution.
#
# Guess: an unchanged call on an unchanged forecast has an unchanged score from one minor version to the next.
# Seen:  0.1667 and 0.5 for the ensemble (0, 1, 3) and the observation 0.5; of one member nan and 0.5. Small ensembles differ most.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > score.py <<'END'
import numpy as np
import scoringrules

scores = [float(scoringrules.crps_ensemble(np.array([0.5]), np.array([members]))[0]) for members in ([0.0, 1.0, 3.0], [1.0])]
print([round(score, 4) for score in scores])
END
found=""
for version in 0.8.0 0.10.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "scoringrules==$version" "numpy==2.4.6"
  found="$found $("$work/$version/bin/python" -W ignore score.py)"
done
echo "scoringrules 0.8.0 and 0.10.0:$found"
[ "$found" = " [0.1667, nan] [0.5, 0.5]" ] || { echo "scoringrules has changed"; exit 1; }
