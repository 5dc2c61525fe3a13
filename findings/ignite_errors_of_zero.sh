#!/usr/bin/env bash
# pytorch-ignite 0.5.5: an exact prediction of 0 makes FractionalAbsoluteError nan, WaveHedgesDistance of negative numbers is negative, and
# MutualInformation and JSDivergence are nan once a class has no probability left.
#
# Guess: 0 for predictions that are all right. A distance is 0 or more. A model that is sure of one class tells nothing, 0 nats, and a
#        distribution has the divergence 0 from itself, at every logit.
# Seen:  nan, where CanberraMetric has 0; -1 for -2 where -1 is right, which makes up for an error of 1 elsewhere, and 1e30 for -1 where
#        0 is right. nan for logits of 0 and -200, 0 for 0 and -100; Entropy and KLDivergence are 0 for both. One such example makes the
#        result of an epoch nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "pytorch-ignite==0.5.5"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import ignite
import numpy as np
import torch
from ignite import metrics
from ignite.metrics import regression


def result(metric, *batch):
    metric.update(tuple(torch.tensor(array) for array in batch))
    return float(metric.compute())


def sure(logit):
    rows = [[0.0, logit], [0.0, logit]]
    names = ("Entropy", "KLDivergence", "MutualInformation", "JSDivergence")
    return [result(getattr(metrics, name)(), rows, rows) for name in names]


found = {
    "fractional": result(regression.FractionalAbsoluteError(), [0.0, 1], [0.0, 1]),
    "canberra": result(regression.CanberraMetric(), [0.0, 1], [0.0, 1]),
    "wave hedges": [result(regression.WaveHedgesDistance(), *pair) for pair in ([[2.0], [1.0]], [[-2.0], [-1.0]], [[-1.0], [0.0]])],
    "logit -100": sure(-100.0),
    "logit -200": sure(-200.0),
}
print("ignite", ignite.__version__, "torch", torch.__version__, found)
assert found["canberra"] == 0 and max(found["logit -100"]) < 1e-30 and not any(found["logit -200"][:2])
assert np.isnan(found["fractional"]), "an error of 0 at 0 has changed"
np.testing.assert_allclose(found["wave hedges"], [0.5, -1, 1e30], rtol=1e-5, err_msg="the distance of negative numbers has changed")
assert np.isnan(found["logit -200"][2:]).all(), "classes without a probability have changed"
END
