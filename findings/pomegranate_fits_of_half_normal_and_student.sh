#!/usr/bin/env bash
# pomegranate 1.1.2, torch 2.13.0: two distributions are fitted with the variance of the data where their parameter is another number: the
# half-normal one, whose mean is not 0, and Student's t, whose variance is larger than its scale squared.
#
# Guess: 100000 draws from a half-normal distribution of scale 1 give covs of 1, roughly, and so do those from Student's t with 5 degrees
#        of freedom: what is drawn from is found again. The half-normal log density of two features is the sum of both.
# Seen:  0.36, which is 1 - 2/pi, and 1.67, which is 5/3, with a mean log density of -1.10 instead of -0.73, and -1.67 instead of -1.63:
#        other scales fit the data better than the fitted ones. The log density of two half-normal features is log 2 too small, as that
#        is added once, not once for each. A Normal is fitted as it should be.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "scipy==1.17.1" "pomegranate==1.1.2"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import torch
from pomegranate.distributions import HalfNormal, Normal, StudentT
from scipy.stats import halfnorm, t

rng = np.random.default_rng(0)
normal, student = rng.normal(size=(100_000, 1)).astype(np.float32), rng.standard_t(5, size=(100_000, 1)).astype(np.float32)


def fitted(distribution, data):
    """The squared scale that is fitted, and the mean log density of the data."""
    distribution.fit(data)
    return float(distribution.covs.detach().ravel()[0]), float(distribution.log_probability(data).mean())


found = {
    "normal": (*fitted(Normal(covariance_type="diag"), normal), 1, float(-0.5 * np.log(2 * np.pi) - 0.5)),
    "half": (*fitted(HalfNormal(covariance_type="diag"), abs(normal)), 1, float(halfnorm.logpdf(abs(normal)).mean())),
    "student": (*fitted(StudentT(5, covariance_type="diag"), student), 1, float(t.logpdf(student, 5).mean())),
}
two = HalfNormal(covariance_type="diag")
two.fit(np.repeat(abs(normal), 2, axis=1))
single = HalfNormal(covariance_type="diag")
single.fit(abs(normal))
gap = float((two.log_probability(np.ones((1, 2), np.float32)) - 2 * single.log_probability(np.ones((1, 1), np.float32)))[0])
print("torch", torch.__version__, "squared scale, mean log density, and both of the true distribution:", found, "two features:", gap)
assert abs(found["normal"][0] - 1) < 0.01 and abs(found["normal"][1] - found["normal"][3]) < 0.01
assert abs(found["half"][0] - (1 - 2 / np.pi)) < 0.01 and found["half"][1] < found["half"][3] - 0.3, "the half-normal fit has changed"
assert abs(found["student"][0] - 5 / 3) < 0.1 and found["student"][1] < found["student"][3] - 0.02, "Student's fit has changed"
assert abs(gap + np.log(2)) < 1e-4, "two features have changed"
END
