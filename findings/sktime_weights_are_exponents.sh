#!/usr/bin/env bash
# sktime 1.2.0: the geometric means of errors with a horizon_weight are arithmetic means of powers: each error is raised to its weight and
# the weighted mean of these is taken, so that an error of weight 0 counts as 1.
#
# Guess: errors of 1, 2, 4 and 8 with the weights (1, 1, 1, 0) have the geometric mean of the first three, 2, and with (1, 0, 0, 0) it is 1.
# Seen:  3.25 and 16.75. A forecast that is exact wherever its weight is 1 has 0.25 instead of 0. Only equal weights are right, whatever
#        their size. So are geometric_mean_squared_error and the relative ones. The more of the horizon is left out, the larger the error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "sktime==1.2.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import sktime
from sktime.performance_metrics import forecasting

observed = np.full(4, 10.0)
forecast = observed + [1, 2, 4, 8]
exact = observed + [0, 0, 0, 4]


def mean(forecast, *weights):
    weight = np.array(weights, float) if weights else None
    return float(forecasting.geometric_mean_absolute_error(observed, forecast, horizon_weight=weight))


found = {weights: mean(forecast, *weights) for weights in ((), (2, 2, 2, 2), (1, 1, 1, 0), (1, 0, 0, 0))}
zero = mean(exact, 1, 1, 1, 0)
print("sktime", sktime.__version__, found, "exact", zero)
np.testing.assert_allclose([found[()], found[2, 2, 2, 2]], 64**0.25)
np.testing.assert_allclose([found[1, 1, 1, 0], found[1, 0, 0, 0], zero], [3.25, 16.75, 0.25], err_msg="weights have changed")
END
