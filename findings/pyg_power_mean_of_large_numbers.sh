#!/usr/bin/env bash
# torch-geometric 2.8.1: PowerMeanAggregation clamps the mean of the powers, before the root is taken, to the range of the numbers, 1e-4 to 100
# by default.
#
# Guess: a mean of equal numbers is that number, if it is within the range: 20 for 20 and 20, whatever the power.
# Seen:  10 with p=2, the root of 100 and not of 400, and so for every number from 10 to 100; 4.64 for 5 and 5 with p=3, without a gradient.
#        0.01 for 0.005 with p=2. With p=1 there is no range, and 200 is 200. clamp_max=1e6 is right for 20; None for both raises.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torch-geometric==2.8.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import torch
import torch_geometric
from torch_geometric.nn.aggr import PowerMeanAggregation


def mean_of_two(number, p, **options):
    numbers = torch.full((2, 1), number, requires_grad=True)
    mean = PowerMeanAggregation(p=p, **options)(numbers, torch.tensor([0, 0]))
    mean.sum().backward()
    return float(mean), float(numbers.grad[0])


cases = [(9.0, 2.0), (200.0, 1.0), (20.0, 2.0), (100.0, 2.0), (5.0, 3.0), (0.005, 2.0)]
found, wider = {case: mean_of_two(*case) for case in cases}, mean_of_two(20.0, 2.0, clamp_max=1e6)
print("torch-geometric", torch_geometric.__version__, "torch", torch.__version__, "means and slopes:", found, "wider range:", wider)
np.testing.assert_allclose([*list(found.values())[:2], wider], [(9, 0.5), (200, 0.5), (20, 0.5)], rtol=1e-5)
clamped = list(found.values())[2:]
np.testing.assert_allclose(clamped, [(10, 0), (10, 0), (100 ** (1 / 3), 0), (0.01, 0)], rtol=1e-4, err_msg="the range has changed")
END
