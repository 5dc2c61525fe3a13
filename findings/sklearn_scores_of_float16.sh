#!/usr/bin/env bash
# scikit-learn 1.9.1: scores of float16 predictions and targets square in float16: an error of 256 makes the mean squared error inf, and
# r2_score and explained_variance_score are 1, a perfect fit, once the spread of the targets is too large.
#
# Guess: float16 is widened, as by np.mean and by mean_absolute_error of the same package: errors of 10 around targets 300, 600, 900 have
#        the score 0.9983 and errors of 100 have 0.8333.
# Seen:  1 and 1: the spread of the targets, 180000, is inf in float16. Errors of 300 are nan for -0.5, their mean squared error is inf for
#        90000, and their mean absolute error is 300.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "scikit-learn==1.9.1" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import sklearn
from sklearn import metrics

targets, found = np.array([300, 600, 900]), {}
for error in (10, 100, 300):
    predictions = targets + error * np.array([1, -1, 1])
    for dtype in (np.float16, np.float32):
        t, p = targets.astype(dtype), predictions.astype(dtype)
        scores = (metrics.r2_score, metrics.explained_variance_score, metrics.mean_squared_error, metrics.mean_absolute_error)
        found[error, np.dtype(dtype).name] = [round(float(score(t, p)), 4) for score in scores]
print("scikit-learn", sklearn.__version__, "numpy", np.__version__, "r2, explained variance, squared, absolute error:", found)
for error, r2, variance in ((10, 0.9983, 0.9985), (100, 0.8333, 0.8519), (300, -0.5, -0.3333)):
    assert found[error, "float32"] == [r2, variance, error**2, error] and found[error, "float16"][3] == error
assert found[10, "float16"][:2] == found[100, "float16"][:2] == [1, 1], "scores of float16 have changed"
assert np.isnan(found[300, "float16"][:2]).all() and np.isinf(found[300, "float16"][2]), "scores of float16 have changed"
END
