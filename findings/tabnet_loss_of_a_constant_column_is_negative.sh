#!/usr/bin/env bash
# pytorch-tabnet 4.1.0, torch 2.13.0: the loss of the unsupervised pretraining divides the squared error of a column that is constant in the
# batch by its mean, which may be negative: then the loss is, and it falls the farther the reconstruction is off.
#
# Guess: a squared error, in units of the column, is 0 where everything is right and more elsewhere.
# Seen:  one of three columns is -2 in all rows of a batch: 0, -0.167 and -16.7 if it is reconstructed as -2, -1 and 8, and the gradient leads
#        away from -2. An error of 10 costs 16.7 in a column of 2, 33333 in one of 0.001 and 33.3 in one of 0. A rare flag, standardised, is
#        such a column in many a batch. UnsupervisedLossNumpy, the metric that stops the training, is as negative.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$work/env/bin/pip" install -q "scikit-learn==1.9.1" tqdm
"$work/env/bin/pip" install -q --no-deps "pytorch-tabnet==4.1.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import importlib.metadata

import numpy as np
import torch
from pytorch_tabnet.metrics import UnsupervisedLoss, UnsupervisedLossNumpy

rows = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))


def loss(constant, off):
    """The loss, that of NumPy, and the derivative in the reconstruction of a column that is constant in the batch."""
    batch = rows.clone()
    batch[:, 1] = constant
    shift = torch.tensor(float(off), requires_grad=True)
    given = batch + shift * torch.tensor([0.0, 1, 0]), batch, torch.ones_like(batch)
    value = UnsupervisedLoss(*given)
    value.backward()
    numpy = float(UnsupervisedLossNumpy(*(np.asarray(array.detach()) for array in given)))
    return [round(number, 3) for number in (value.item(), numpy, shift.grad.item())]


negative = {off: loss(-2.0, off) for off in (0, 1, 10)}
others = {constant: loss(constant, 10)[0] for constant in (2.0, 0.001, 0.0)}
print("pytorch-tabnet", importlib.metadata.version("pytorch-tabnet"), "torch", torch.__version__, "column of -2:", negative, "others:", others)
assert negative[0] == [0, 0, 0] and others == {2.0: 16.667, 0.001: 33333.332, 0.0: 33.333}
assert negative[1] == [-0.167, -0.167, -0.333] and negative[10] == [-16.667, -16.667, -3.333], "constant columns have changed"
END
