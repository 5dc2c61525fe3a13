#!/usr/bin/env bash
# numpyro 0.22.0, tfp-nightly 0.26.0.dev20261027, jax 0.10.2: in float32 the log probability of a beta-binomial count is over 0, a
# probability of 7 or 10, once the concentrations reach ten million; that of a negative binomial loses its digits in the same way.
#
# Guess: with growing concentrations they become the binomial, log(10 / 32) = -1.1632 for 2 of 5, and the Poisson, -1.7403 for 5 with a mean
#        of 5.
# Seen:  at 1e7 2 from numpyro's BetaBinomial, -1 from tfp's and 2.3 from jax.scipy.stats.betabinom; at 1e6 -1.75, -1.25 and -1.70.
#        numpyro's GammaPoisson and NegativeBinomial2 have -1.51, jax.scipy.stats.nbinom 13.7; tfp's NegativeBinomial is right. Data without
#        overdispersion pull a fit out to where such a likelihood beckons.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpyro==0.22.0" "tfp-nightly==0.26.0.dev20261027"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import numpy as np
from jax.scipy import stats
from numpyro import distributions
from tensorflow_probability.substrates import jax as tfp

forms = {
    "numpyro, beta-binomial": lambda c: distributions.BetaBinomial(c, c, 5).log_prob(2),
    "tfp, beta-binomial": lambda c: tfp.distributions.BetaBinomial(5, c, c).log_prob(2.0),
    "jax, beta-binomial": lambda c: stats.betabinom.logpmf(2, 5, c, c),
    "numpyro, gamma-Poisson": lambda c: distributions.GammaPoisson(c, c / 5).log_prob(5),
    "numpyro, negative binomial": lambda c: distributions.NegativeBinomial2(5.0, c).log_prob(5),
    "jax, negative binomial": lambda c: stats.nbinom.logpmf(5.0, c, c / (c + 5)),
    "tfp, negative binomial": lambda c: tfp.distributions.NegativeBinomial(c, probs=5 / (c + 5)).log_prob(5.0),
}
found = {name: [float(form(concentration)) for concentration in (1e3, 1e6, 1e7)] for name, form in forms.items()}
print("jax", jax.__version__, "at 1e3, 1e6, 1e7:", found)
for name, values in found.items():
    np.testing.assert_allclose(values[0], -1.1636 if "beta" in name else -1.7425, atol=2e-3)
    if "beta" in name:
        assert abs(values[1] + 1.1632) > 0.05 and abs(values[2] + 1.1632) > 0.1, f"{name} has changed"
assert max(found[f"{name}, beta-binomial"][2] for name in ("numpyro", "jax")) > 0.5, "a probability over 1 has changed"
assert found["jax, negative binomial"][2] > 1, "nbinom has changed"
for name in ("gamma-Poisson", "negative binomial"):
    assert abs(found[f"numpyro, {name}"][2] + 1.7403) > 0.1, f"{name} has changed"
np.testing.assert_allclose(found["tfp, negative binomial"], -1.7403, atol=4e-3)
END
