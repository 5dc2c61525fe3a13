#!/usr/bin/env bash
# pytorch-forecasting 1.8.0: QuantileLoss is twice, and MASE n / (n - 1) times, what their docstrings define: the pinball loss is doubled,
# and the sum of the n - 1 steps between n values is divided by n.
#
# Guess: as documented, QuantileLoss of q=0.5 is half of the mean absolute error, 0.5 for errors of 1, as scikit-learn's mean_pinball_loss;
#        the MASE of errors of 1 in a series that moves by 1 at each step is 1, whatever its length.
# Seen:  1, and 1.8 for the level 0.9; 2 for a series of two values, 1.333 for four, 1.01 for a hundred. Weights of examples multiply the
#        loss and are not in its divisor: weights of 2 double it. Scores of short series do not compare with those of long
#        ones, nor with those of other packages.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "pytorch-forecasting==1.8.0"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import torch
from pytorch_forecasting.metrics import MAE, MASE, QuantileLoss
from sklearn.metrics import mean_pinball_loss

target = torch.ones(3, 5)


def pinball(q):
    theirs = QuantileLoss(quantiles=[q])(torch.zeros(3, 5, 1), target).item()
    return round(theirs, 4), round(mean_pinball_loss(target.numpy(), 0 * target.numpy(), alpha=q), 4)


def scaled(n):
    """Errors of 1 in the last of n values that move by 1 at each step."""
    series = torch.arange(float(n))[None]
    metric = MASE()
    metric.update(series[:, -1:] + 1, series[:, -1:], series[:, :-1], torch.tensor([n - 1]))
    return round(metric.compute().item(), 3)


found = {
    "pinball": {q: pinball(q) for q in (0.5, 0.9)},
    "MAE": MAE()(torch.zeros(3, 5), target).item(),
    "MAE with weights of 2": MAE()(torch.zeros(3, 5), (target, 2 * torch.ones(3, 5))).item(),
    "MASE": {n: scaled(n) for n in (2, 4, 100)},
}
print("pytorch-forecasting 1.8.0:", found)
assert found["MAE"] == 1
assert found["pinball"] == {0.5: (1, 0.5), 0.9: (1.8, 0.9)}, "QuantileLoss has changed"
assert found["MASE"] == {2: 2, 4: 1.333, 100: 1.01}, "MASE has changed"
assert found["MAE with weights of 2"] == 2, "weights have changed"
END
