#!/usr/bin/env bash
# jax 0.10.2, numpyro 0.22.0, tfp-nightly 0.26.0.dev20261027: in float32 the regularised incomplete gamma and beta functions, which all
# three take from jax.lax, are no probabilities any more for large parameters: with them the distribution functions of Poisson, gamma and
# beta.
#
# Guess: half of a Poisson distribution is below its mean, however large: 0.5003 for a mean of a million; half of a symmetric beta is below
#        1/2.
# Seen:  -0.37 for a mean of 1e6 and -3e10 for 1e7 from jax.scipy.stats.poisson.cdf, -0.37 from numpyro and tfp; 0.543 already for 1e5. A
#        gamma of shape 1e5 has 0.458 below its mean, a beta of (1e5, 1e5) 0.58 and of (1e7, 1e7) -1e11. Coverage and randomised quantiles
#        of counts of a whole country are made of such numbers. At 1000 the Poisson is right to three digits.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpyro==0.22.0" "tfp-nightly==0.26.0.dev20261027"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.scipy import stats
from tensorflow_probability.substrates import jax as tfp

means = [jnp.float32(mean) for mean in (1e3, 1e5, 1e6, 1e7)]
found = {
    "poisson": [float(stats.poisson.cdf(mean, mean)) for mean in means],
    "gamma": [float(stats.gamma.cdf(mean, mean)) for mean in means],
    "beta": [float(stats.beta.cdf(jnp.float32(0.5), mean, mean)) for mean in means],
}
peers = {
    "numpyro": float(numpyro.distributions.Poisson(means[2]).cdf(means[2])),
    "tfp": float(tfp.distributions.Poisson(means[2]).cdf(means[2])),
}
print("jax", jax.__version__, "at 1e3, 1e5, 1e6, 1e7:", found, "poisson at 1e6:", peers)
np.testing.assert_allclose([values[0] for values in found.values()], [0.5084, 0.5042, 0.5], atol=1e-3)
np.testing.assert_allclose([found["poisson"][1], found["gamma"][1], found["beta"][1]], [0.543, 0.458, 0.582], atol=2e-3)
np.testing.assert_allclose([found["poisson"][2], *peers.values()], -0.374, atol=2e-3, err_msg="the Poisson of 1e6 has changed")
assert found["poisson"][3] < -1 and found["beta"][3] < -1, "parameters of 1e7 have changed"
END
