#!/usr/bin/env bash
# pomegranate 1.1.2, torch 2.13.0: the log probability of LogNormal is the normal one of the logarithm of x: the 1/x of the change of
# variables is missing, so that it cannot be compared with the log probability of any other distribution.
#
# Guess: the log density of scipy's lognorm, and a density that adds up to 1, as of Exponential and Gamma there.
# Seen:  -0.92 at 1, where it makes no difference, -3.6 instead of -1.3 at 0.1, and -11.5 instead of -16.1 at 100; it adds up to 1.65. Of
#        5000 log-normal numbers around 20 the mean is -0.72 instead of -3.72, so that the family is 3 nats for each number ahead of a
#        Gamma of the same mean and variance, with -3.74, and not 0.03: mixtures and choices among families follow it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "scipy==1.17.1" "pomegranate==1.1.2"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import torch
from pomegranate.distributions import Exponential, Gamma, LogNormal
from scipy.stats import expon, gamma, lognorm


def of(distribution, x):
    return distribution.log_probability(np.asarray(x, np.float32)[:, None]).double().numpy()


x = np.array([0.1, 1.0, 10.0, 100.0])
own, true = of(LogNormal([0.0], [1.0], covariance_type="diag"), x), lognorm.logpdf(x, 1)
grid = np.linspace(1e-3, 200, 400_001)
mass = np.trapezoid(np.exp(of(LogNormal([0.0], [1.0], covariance_type="diag"), grid)), grid)
others = [(of(Exponential([2.0]), x), expon.logpdf(x, scale=2)), (of(Gamma([2.0], [3.0]), x), gamma.logpdf(x, 2, scale=1 / 3))]
data = np.random.default_rng(0).lognormal(3.0, 0.5, size=5000)
shape, rate = data.mean() ** 2 / data.var(), data.mean() / data.var()
models = LogNormal([3.0], [0.25], covariance_type="diag"), Gamma([shape], [rate])
theirs = [float(of(model, data).mean()) for model in models]
scipy = [float(lognorm.logpdf(data, 0.5, scale=np.exp(3)).mean()), float(gamma.logpdf(data, shape, scale=1 / rate).mean())]
print("torch", torch.__version__, "at", x, own, "scipy:", true, "mass:", mass, "mean log density, LogNormal and Gamma:", theirs, scipy)
assert all(np.allclose(a, b, rtol=1e-5) for a, b in others) and abs(theirs[1] - scipy[1]) < 1e-4
assert np.allclose(own - np.log(x), true, rtol=1e-5) and abs(mass - np.exp(0.5)) < 1e-3, "the density has changed"
assert theirs[0] - theirs[1] > 2.9 and scipy[0] - scipy[1] < 0.1, "the comparison has changed"
END
