#!/usr/bin/env bash
# numpyro 0.22.0, jax 0.10.2: the log density of Exponential, HalfNormal and HalfCauchy at 0, and of Pareto at its scale, is -inf. Values
# outside of the support have -inf unless validation is off, and the support of these is "positive", without 0.
#
# Guess: 0, -0.2258, -0.4516 and log(3) = 1.0986, as in scipy and tfp. The docstring of Exponential has its density for x >= 0.
# Seen:  -inf for all four. So the largest likelihood of a Pareto, whose scale is fitted at the smallest of the data, is 0, and so is that
#        of waiting times of which one was rounded to 0. With numpyro.enable_validation(False) they are finite.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpyro==0.22.0" "scipy==1.17.1"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import scipy.stats
from numpyro import distributions

warnings.simplefilter("ignore")


def densities():
    zero = jnp.float32(0)
    at_zero = [one.log_prob(zero) for one in (distributions.Exponential(1.0), distributions.HalfNormal(1.0), distributions.HalfCauchy(1.0))]
    return [float(value) for value in (*at_zero, distributions.Pareto(1.0, 3.0).log_prob(jnp.float32(1)))]


right = [float(one.logpdf(0)) for one in (scipy.stats.expon, scipy.stats.halfnorm, scipy.stats.halfcauchy)]
right.append(float(scipy.stats.pareto(3).logpdf(1)))
found = densities()
numpyro.enable_validation(False)
unchecked = densities()
print("numpyro", numpyro.__version__, "jax", jax.__version__, found, "without validation", unchecked, "scipy", right)
np.testing.assert_allclose(unchecked, right, atol=1e-4)
assert found == [-np.inf] * 4, "numpyro has changed"
END
