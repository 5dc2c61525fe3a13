#!/usr/bin/env bash
# jax 0.10.2: jax.scipy.stats.bernoulli.logpmf of a probability that is exactly 0 or 1 has a nan gradient, also if the certain outcome
# came: the value is 0, and 0 * log(0) in it is differentiated to 0 / 0. So have binom, geom and nbinom, and xlogy and xlog1py.
#
# Guess: value and gradient of the log probability of an outcome that is certain to seven digits are about 0.
# Seen:  0 and nan for outcome 1 and jax.nn.sigmoid(17), which is 1 in float32, and for outcome 0 and sigmoid(-90); at 16 it is 1.2e-7.
#        One example that a classifier is sure of, and right about, makes all its parameters nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import numpy as np
from jax.scipy import special, stats


def both(logit, outcome):
    def loss(z):
        return -stats.bernoulli.logpmf(outcome, jax.nn.sigmoid(z))

    return [float(loss(logit)), float(jax.grad(loss)(logit))]


found = {at: both(*at) for at in ((16.0, 1), (17.0, 1), (-20.0, 0), (-90.0, 0))}
others = {
    "binom": [float(stats.binom.logpmf(5, 5, 1.0)), float(jax.grad(stats.binom.logpmf, 2)(5.0, 5.0, 1.0))],
    "geom": [float(stats.geom.logpmf(1, 1.0)), float(jax.grad(stats.geom.logpmf, 1)(1.0, 1.0))],
    "nbinom": [float(stats.nbinom.logpmf(0, 5.0, 1.0)), float(jax.grad(stats.nbinom.logpmf, 2)(0.0, 5.0, 1.0))],
    "xlog1py": [float(special.xlog1py(0.0, -1.0)), float(jax.grad(special.xlog1py, 1)(0.0, -1.0))],
}
print("jax", jax.__version__, "value and gradient at (logit, outcome):", found, others)
np.testing.assert_allclose(found[16.0, 1], [1.2e-7, -1.2e-7], rtol=0.01)
np.testing.assert_allclose(found[-20.0, 0], [2.06e-9, 2.06e-9], rtol=0.01)
for name, (value, gradient) in {**{at: found[at] for at in ((17.0, 1), (-90.0, 0))}, **others}.items():
    assert abs(value) < 1e-6 and np.isnan(gradient), f"{name} has changed"
END
