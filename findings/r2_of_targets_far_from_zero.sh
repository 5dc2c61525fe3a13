#!/usr/bin/env bash
# torchmetrics 1.9.0, keras 3.15.1: in float32 the coefficient of determination of targets far from 0 is 0, more than 1, or nan, since the
# spread of the targets is taken as sum(y**2) - sum(y)**2 / n.
#
# Guess: errors of a tenth of the step between five equidistant targets have the score 0.995, wherever the targets lie.
# Seen:  0 for northings of 5800000 to 5801000 m and for pressures of 101305 to 101345 Pa in both libraries, as if the mean were predicted;
#        for 19998 to 20002 it is 0 in torchmetrics and 1.0004 in keras, where a perfect prediction of 9998 to 10002 is nan. Explained variance
#        is 0, too, and torchmetrics' relative squared error of the northings 2.6e10 for 0.005. PearsonCorrCoef is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torchmetrics==1.9.0" "keras==3.15.1" "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import keras
import numpy as np
import torch
import torchmetrics
from torchmetrics import functional


def by_keras(predictions, targets):
    metric = keras.metrics.R2Score()
    metric.update_state(targets[:, None], predictions[:, None])
    return float(metric.result())


found, exact = {}, {}
for middle, step in ((0, 1), (20000, 1), (101325, 10), (5800500, 250)):
    y = np.float32(middle) + np.float32(step) * np.arange(-2, 3, dtype=np.float32)
    x = y + np.float32(0.1 * step) * np.array([1, -1, 1, -1, 1], np.float32)
    exact[middle] = 1 - np.sum((y.astype(float) - x) ** 2) / np.sum((y.astype(float) - y.mean(dtype=float)) ** 2)
    tensors = torch.tensor(x), torch.tensor(y)
    names = (functional.r2_score, functional.explained_variance, functional.relative_squared_error, functional.pearson_corrcoef)
    found[middle] = [by_keras(x, y), *(float(metric(*tensors)) for metric in names)]
same = np.arange(9998, 10003, dtype=np.float32)
perfect = by_keras(same, same)
print("torchmetrics", torchmetrics.__version__, "keras", keras.__version__, "exact", exact)
print("keras, torchmetrics: r2, explained variance, relative squared error, correlation:", found, "perfect", perfect)
np.testing.assert_allclose(list(exact.values()), 0.995, atol=1e-4)
np.testing.assert_allclose([found[0][0], found[0][1]], 0.995, atol=1e-4)
np.testing.assert_allclose([row[4] for row in found.values()], 0.9976, atol=1e-3)
assert found[101325][:3] == found[5800500][:3] == [0, 0, 0] and found[5800500][3] > 1e9, "it has changed"
assert found[20000][1:3] == [0, 0] and found[20000][0] > 1.0002 and np.isnan(perfect), "it has changed"
END
