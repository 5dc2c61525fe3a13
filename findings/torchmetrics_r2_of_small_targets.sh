#!/usr/bin/env bash
# torchmetrics 1.9.0: r2_score is 1, a perfect fit, as soon as the squared errors add up to less than 1e-4, whatever the targets' own spread.
#
# Guess: for targets 0.001, 0.002, 0.003 the prediction of their mean has the score 0, and predictions in reverse order have -3, as for
#        targets 1, 2, 3: the coefficient of determination has no unit.
# Seen:  1 for both: of reflectances, probabilities or metres in kilometres, every prediction is perfect. One tolerance, 1e-4, is compared
#        with both sums of squares. R2Score, the metric of an epoch, is the same; explained_variance and relative_squared_error are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torchmetrics==1.9.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
import torchmetrics
from torchmetrics import functional

targets, found = torch.tensor([1.0, 2, 3]), {}
for name, predictions in {"mean": torch.tensor([2.0, 2, 2]), "reversed": targets.flip(0)}.items():
    for scale in (1, 1e-3):
        score = functional.r2_score(scale * predictions, scale * targets)
        epoch = torchmetrics.R2Score()(scale * predictions, scale * targets)
        relative = functional.relative_squared_error(scale * predictions, scale * targets)
        variance = functional.explained_variance(scale * predictions, scale * targets)
        found[name, scale] = [round(float(x), 3) for x in (score, epoch, relative, variance)]
print("torchmetrics", torchmetrics.__version__, "r2, R2Score, relative squared error, explained variance:", found)
assert found["mean", 1] == [0, 0, 1, 0] and found["reversed", 1] == [-3, -3, 4, -3]
assert found["mean", 1e-3] == [1, 1, 1, 0] and found["reversed", 1e-3] == [1, 1, 4, -3], "torchmetrics has changed"
END
