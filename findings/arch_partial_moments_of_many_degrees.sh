#!/usr/bin/env bash
# arch 8.0.0: the first partial moment of Student's t, of which the expected shortfall is made, is inf or nan from 343 degrees of freedom on,
# although 500 are allowed: it is a quotient of two gamma functions, each of which is over 1e308 there. So is the third.
#
# Guess: close to those of the normal distribution, -0.3989 up to the mean and -0.1031 up to -1.645, for many degrees.
# Seen:  -0.39865 and -0.10318 at 340 degrees and nan at 345, 400 and 500, where the second moment and the likelihood are right. Residuals that
#        are nearly normal are fitted with such degrees, and a shortfall of nan follows from a value at risk that is a number.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "arch==8.0.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import math

import arch
import numpy as np
from arch.univariate.distribution import Normal, StudentsT
from scipy import integrate

student, tail = StudentsT(), -1.645


def by_integration(degrees, order, end):
    def density(x):
        return math.exp(float(student.loglikelihood([degrees], np.array([x]), np.ones(1), individual=True)[0]))

    return integrate.quad(lambda x: x**order * density(x), -40, end, points=[-5, -2])[0]


first = {degrees: [student.partial_moment(1, end, [degrees]) for end in (0.0, tail)] for degrees in (100.0, 340.0, 345.0, 400.0, 500.0)}
second = [student.partial_moment(2, tail, [500.0]), by_integration(500.0, 2, tail)]
ours = {degrees: [by_integration(degrees, 1, end) for end in (0.0, tail)] for degrees in first}
normal = [Normal().partial_moment(1, end) for end in (0.0, tail)]
third = [student.partial_moment(3, tail, [degrees]) for degrees in (340.0, 345.0)]
print("arch", arch.__version__, first, "by integration:", ours, "second:", second, "third:", third, "normal:", normal)
np.testing.assert_allclose([first[100.0], first[340.0]], [ours[100.0], ours[340.0]], rtol=1e-6)
np.testing.assert_allclose(second[0], second[1], rtol=1e-6)
np.testing.assert_allclose(ours[500.0], normal, rtol=1e-3)
assert all(np.isnan(first[degrees]).all() for degrees in (345.0, 400.0, 500.0)), "first moments of many degrees have changed"
assert np.isfinite(third[0]) and np.isnan(third[1]), "third moments of many degrees have changed"
END
