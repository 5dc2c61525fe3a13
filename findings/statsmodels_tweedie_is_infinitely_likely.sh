#!/usr/bin/env bash
# statsmodels 0.15.0: the log likelihood of a Tweedie family is inf where the power of its variance is close to 1, without an error; its
# deviance is right there.
#
# Guess: a finite log density that changes smoothly with the power: 0.725 at 1.005 for 1 with a mean of 1, -3.758 for 100 with a mean of 90.
# Seen:  inf at 1.005 and 1.001, for the larger number at 1.01, too; from 1.02 on all are right. Whoever looks for the power of the
#        greatest likelihood finds 1.001, infinitely likely, and an AIC of -inf.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "statsmodels==0.15.0" "numpy==2.4.6" "scipy==1.17.1" "mpmath==1.3.0"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import mpmath
import numpy as np
import statsmodels
from statsmodels.genmod.families import Tweedie


def by_series(y, mean, power):
    # A Poisson number of gamma distributed parts, summed over that number.
    y, mean, power = (mpmath.mpf(number) for number in (y, mean, power))
    rate, shape, scale = mean ** (2 - power) / (2 - power), (2 - power) / (power - 1), (power - 1) * mean ** (power - 1)

    def part(n):
        count = -rate + n * mpmath.log(rate) - mpmath.loggamma(n + 1)
        return mpmath.exp(count + (n * shape - 1) * mpmath.log(y) - y / scale - n * shape * mpmath.log(scale) - mpmath.loggamma(n * shape))

    return float(mpmath.log(sum(part(n) for n in range(1, 400))))


def likelihood(y, mean, power):
    return float(np.ravel(Tweedie(var_power=power).loglike_obs(np.array([y]), np.array([mean]), scale=1.0))[0])


cases = [(y, mean, power) for power in (1.001, 1.005, 1.01, 1.02, 1.5) for y, mean in ((1.0, 1.0), (100.0, 90.0))]
found = {case: likelihood(*case) for case in cases}
right = {case: by_series(*case) for case in cases}
deviance = float(Tweedie(var_power=1.001).deviance(np.array([1.0]), np.array([2.0])))
print("statsmodels", statsmodels.__version__, "(number, mean, power): found", found, "right", right, "deviance", deviance)
infinite = [case for case in cases if found[case] == np.inf]
finite = [case for case in cases if case not in infinite]
np.testing.assert_allclose([found[case] for case in finite], [right[case] for case in finite], rtol=1e-6)
np.testing.assert_allclose([right[case] for case in infinite], [1.5339, -3.9548, 0.7247, -3.7579, -3.7577], rtol=1e-3)
np.testing.assert_allclose(deviance, 2 * (1 - np.log(2)), rtol=1e-2)
assert [case[2] for case in infinite] == [1.001, 1.001, 1.005, 1.005, 1.01], "powers near 1 have changed"
END
