#!/usr/bin/env bash
# zuko 1.6.0, torch 2.13.0: Truncated draws outside of its bounds: the probabilities that are inverted are first moved by up to a millionth
# towards 1/2, which in the tails of the base distribution is more than all that lies between the bounds.
#
# Guess: a normal distribution truncated to the numbers from 5 to 6 draws numbers from 5 to 6, at least in float64, where the distribution
#        function has seven digits left there, and with the mean 5.18.
# Seen:  all draws lie between 4.70 and 4.76, in float32 and float64, with the log probability -inf under the distribution that drew them,
#        and the mean is 4.73; of those cut off at 4 from below 3 percent lie below, and of 3 to 4 one in 1500. A score, an importance
#        weight or an ELBO of such a draw is infinite. Between 1 and 2 it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "scipy==1.17.1" "zuko==1.6.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
from scipy.stats import truncnorm
from torch.distributions import Normal
from zuko.distributions import Truncated


def drawn(lower, upper, dtype=torch.float64):
    """Of draws: the share outside of the bounds, the least, the largest, and the mean beside the true one."""
    torch.manual_seed(0)
    zero, one = torch.tensor([0.0, 1.0], dtype=dtype)
    distribution = Truncated(Normal(zero, one, validate_args=False), torch.tensor(lower, dtype=dtype), torch.tensor(upper, dtype=dtype))
    draws = distribution.sample((100_000,))
    outside = (draws < lower) | (draws > upper)
    if outside.any():
        assert distribution.log_prob(draws[outside]).isneginf().all()
    found = outside.double().mean(), draws.min(), draws.max(), draws.double().mean()
    return [round(x.item(), 4) for x in found] + [round(float(truncnorm.mean(lower, upper)), 4)]


far = drawn(5.0, 6.0), drawn(5.0, 6.0, torch.float32)
near, edge, above = drawn(1.0, 2.0), drawn(3.0, 4.0), drawn(4.0, float("inf"))
print("torch", torch.__version__, "share outside, least, largest, mean, true mean: 5 to 6", far, "1 to 2", near)
print("3 to 4", edge, "over 4", above)
assert near[0] == 0 and abs(near[3] - near[4]) < 0.01
assert all(row[0] == 1 and row[2] < 4.8 and row[4] > 5.1 for row in far), "the far tail has changed"
assert 2e-4 < edge[0] < 2e-3 and 0.02 < above[0] < 0.05, "the tail has changed"
END
