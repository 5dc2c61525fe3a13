#!/usr/bin/env bash
# gluonts 0.17.0, torch 2.13.0: log_prob and pdf of BinnedUniforms are the probability of the bin, not divided by its width, the mean is
# divided by the number of bins once too often, and the mode of equal bins is the sum of their centres.
#
# Guess: uniform on 0 to 10 in five bins: a density of 0.1, a mean of 5, and a mode from 0 to 10.
# Seen:  0.2, 1 and 25; median and distribution function are right. The densities of four bins from 0 to 100 integrate to 25. In
#        SplicedBinnedPareto the tails have proper densities and the bins between them have not: with ten bins of 10 all together integrate to
#        9.1, an outcome in a tail counts a tenth of what it should beside one in a bin, and the mean is 5 where 50 is the centre. In the tails
#        1 / xi is 1 / (xi + 1e-6): with xi = 1e-6 the density at 1 is 0.62 and not 0.37.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$work/env/bin/pip" install -q "gluonts==0.17.0" "lightning==2.6.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import gluonts
import torch
from gluonts.torch.distributions import BinnedUniforms, GeneralizedPareto, SplicedBinnedPareto

flat = BinnedUniforms(0.0, 10.0, torch.zeros(1, 5), numb_bins=5)
peak = BinnedUniforms(0.0, 100.0, torch.tensor([[0.0, 3, 0, 0]]), numb_bins=4)
tails = [torch.tensor([[number]]) for number in (0.1, 5.0, 0.1, 5.0)]
spliced = SplicedBinnedPareto(0.0, 100.0, torch.zeros(1, 10), *tails, numb_bins=10)


def total(distribution, low, high, step=0.1):
    return float(sum(distribution.pdf(torch.tensor([low + step * (i + 0.5)])).item() for i in range(round((high - low) / step))) * step)


three = torch.tensor([3.0])
found = {
    "uniform": [round(float(number), 4) for number in (flat.pdf(three), flat.mean, flat.mode, flat.median, flat.cdf(three))],
    "all of four bins": round(total(peak, 0, 100), 3),
    "all of ten bins and tails": round(total(spliced, -400, 500), 2),
    "mean of these": round(float(spliced.mean), 4),
    "Pareto": round(float(GeneralizedPareto(torch.tensor([[1e-6]]), torch.tensor([[1.0]])).log_prob(torch.tensor([1.0])).exp()), 4),
}
print("gluonts", gluonts.__version__, "torch", torch.__version__, found)
assert found["uniform"][3:] == [5, 0.3]
assert found["uniform"][:3] == [0.2, 1, 25], "density, mean or mode have changed"
assert found["all of four bins"] == 25 and found["all of ten bins and tails"] == 9.1 and found["mean of these"] == 5, "totals have changed"
assert found["Pareto"] == 0.6207, "light tails have changed"
END
