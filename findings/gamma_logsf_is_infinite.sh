#!/usr/bin/env bash
# jax 0.10.2: jax.scipy.stats.gamma.logsf and chi2.logsf are logarithms of the survival function: in float32 they are -inf, with a nan
# gradient, as soon as that is less than 1e-38. So is gamma.logcdf at the lower end.
#
# Guess: a log survival keeps its digits far out, as those of expon and norm do: at 200, -194.6967 for a gamma of shape 2 and, from scipy,
#        -100 for a chi square of two degrees.
# Seen:  -inf and nan for both, from 100 and 200 on. A survival model with one long censored time has the loss inf, and all its parameters
#        are nan after one step.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" scipy
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import numpy as np
import scipy.stats
from jax.scipy import stats

cases = {
    "gamma": (stats.gamma.logsf, scipy.stats.gamma.logsf, (200.0, 2.0)),
    "chi2": (stats.chi2.logsf, scipy.stats.chi2.logsf, (200.0, 2.0)),
    "gamma, lower end": (stats.gamma.logcdf, scipy.stats.gamma.logcdf, (0.1, 50.0)),
    "expon": (stats.expon.logsf, scipy.stats.expon.logsf, (200.0,)),
    "norm": (stats.norm.logsf, scipy.stats.norm.logsf, (20.0,)),
    "gamma at 50": (stats.gamma.logsf, scipy.stats.gamma.logsf, (50.0, 2.0)),
}
found = {name: [float(f(*at)), float(jax.grad(f)(*at)), round(float(exact(*at)), 4)] for name, (f, exact, at) in cases.items()}
print("jax", jax.__version__, "value, slope, scipy's value:", found)
for name in ("expon", "norm", "gamma at 50"):
    np.testing.assert_allclose(found[name][0], found[name][2], rtol=1e-4)
for name in ("gamma", "chi2", "gamma, lower end"):
    assert found[name][0] == -np.inf and np.isnan(found[name][1]) and np.isfinite(found[name][2]), f"{name} has changed"
END
