#!/usr/bin/env bash
# neuralforecast 3.3.0: MQLoss and HuberMQLoss add up the losses of the quantiles, although their formulas have the mean, 1 / n: they divide
# by the length of an axis that is 1. HuberMQLoss also applies the threshold to the error times the level, so that the level is squared.
#
# Guess: MQLoss of three quantiles is the mean of their QuantileLoss, 0.0667, and HuberMQLoss that of their HuberQLoss, 0.0417, as documented.
# Seen:  0.2, three times that, and 0.0150. HuberMQLoss of the one level 0.9 is 0.405 and of 0.1 0.005 for an error of 1, where HuberQLoss has
#        0.45 and 0.05: within the threshold errors on the two sides weigh as 81 to 1, and not as 9 to 1, so that another quantile is learned.
#        Ninety-nine quantiles learn 99 times as fast as one, which a learning rate and the clipping of gradients feel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy safetensors
"$work/env/bin/pip" install -q --no-deps "neuralforecast==3.3.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import importlib.util
import sys
import types

import torch

# The losses need nothing of what the package itself loads, models and trainers: its folder is enough.
folder = importlib.util.find_spec("neuralforecast").submodule_search_locations
package = sys.modules["neuralforecast"] = types.ModuleType("neuralforecast")
package.__path__ = list(folder)
from neuralforecast.losses import pytorch as losses  # noqa: E402

levels, target = (0.1, 0.5, 0.9), torch.tensor([[[1.0], [2.0]]])
forecast = torch.tensor([[[[0.0, 1, 2]], [[2.0, 2, 4]]]])


def single(loss):
    return [round(float(loss(q)(target, forecast[..., i])), 4) for i, q in enumerate(levels)]


quantile, huber = single(losses.QuantileLoss), single(losses.HuberQLoss)
together = [round(float(loss(quantiles=list(levels))(target, forecast)), 4) for loss in (losses.MQLoss, losses.HuberMQLoss)]
one, nothing = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
level = [[round(float(loss(one, nothing)), 4) for loss in (losses.HuberMQLoss(quantiles=[q]), losses.HuberQLoss(q))] for q in levels]
print("neuralforecast 3.3.0, torch", torch.__version__, "one by one:", quantile, huber, "together:", together, "of one level:", level)
assert quantile == [0.05, 0, 0.15] and huber == [0.025, 0, 0.1]
assert together == [0.2, 0.015], "losses of several quantiles have changed"
assert level == [[0.005, 0.05], [0.125, 0.25], [0.405, 0.45]], "the threshold of HuberMQLoss has changed"
END
