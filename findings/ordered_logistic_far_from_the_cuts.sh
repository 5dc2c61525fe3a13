#!/usr/bin/env bash
# numpyro 0.22.0, tfp-nightly 0.26.0.dev20261027, jax 0.10.2: in float32 the log probability of an ordinal class is -inf once the predictor
# is 88 or so away from its cut points. In numpyro it is a logarithm of a difference of two sigmoids.
#
# Guess: of cut points 0 and 1 the lowest class has -100 at a predictor of 100, the middle one -99.4587 and the highest 0; at -100 the other
#        way round.
# Seen:  -inf, -inf and 0 at 100 in both libraries; at -100 0, -inf and -inf in numpyro, where tfp is right. At 50 both are right. One
#        outlying predictor makes the likelihood of all data 0.
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
from numpyro import distributions
from tensorflow_probability.substrates import jax as tfp

cuts = jnp.array([0.0, 1.0])
found = {}
for predictor in (50.0, 100.0, -100.0):
    here, there = distributions.OrderedLogistic(predictor, cuts), tfp.distributions.OrderedLogistic(cuts, predictor)
    found[predictor] = [[float(one.log_prob(k)) for k in range(3)] for one in (here, there)]
print("jax", jax.__version__, "numpyro and tfp:", found)
np.testing.assert_allclose(found[50], [[-50, -49.4587, 0]] * 2, atol=1e-3)
assert found[100] == [[-np.inf, -np.inf, 0]] * 2, "a predictor above the cuts has changed"
assert found[-100][0] == [0, -np.inf, -np.inf], "a predictor below the cuts has changed"
np.testing.assert_allclose(found[-100][1], [0, -100.4587, -101], atol=1e-3)
END
