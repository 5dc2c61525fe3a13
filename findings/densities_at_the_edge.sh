#!/usr/bin/env bash
# jax 0.10.2: densities of jax.scipy.stats that end in a finite number at the edge of their domain are nan or -inf there: the von Mises at
# concentration 0, chi square of two degrees at 0, and a Dirichlet with a parameter of 1 at a component of 0.
#
# Guess: as in scipy, -1.8379 (the uniform density of angles), -0.6931 and 0.6931, since expon, gamma, beta and laplace are right at 0.
# Seen:  nan, nan and -inf. A concentration that a ReLU or a rounding made 0, and a one-hot row under a flat Dirichlet, end a training.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" scipy
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax.scipy import stats

cases = {
    "vonmises": ("vonmises", (0.5, 0.0)),
    "chi2": ("chi2", (0.0, 2.0)),
    "dirichlet": ("dirichlet", (np.array([0.0, 1.0]), np.array([1.0, 2.0]))),
    "vonmises near 0": ("vonmises", (0.5, 1e-3)),
    "chi2 near 0": ("chi2", (1e-6, 2.0)),
    "gamma": ("gamma", (0.0, 1.0)),
    "beta": ("beta", (0.0, 1.0, 2.0)),
    "expon": ("expon", (0.0,)),
}
found = {}
for name, (distribution, at) in cases.items():
    value = getattr(stats, distribution).logpdf(*map(jnp.float32, at))
    found[name] = [round(float(x), 4) for x in (value, getattr(scipy.stats, distribution).logpdf(*at))]
print("jax", jax.__version__, "scipy", scipy.__version__, "jax and scipy:", found)
edges = {name: found.pop(name) for name in ("vonmises", "chi2", "dirichlet")}
np.testing.assert_allclose(*np.transpose(list(found.values())), atol=1e-3)
np.testing.assert_allclose([exact for _, exact in edges.values()], [-1.8379, -0.6931, 0.6931])
seen = [value for value, _ in edges.values()]
assert np.isnan(seen[:2]).all() and seen[2] == -np.inf, "the edges have changed"
END
