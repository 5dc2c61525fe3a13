#!/usr/bin/env bash
# distrax 0.1.9, jax 0.10.2: in float32 the entropy of a Multinomial is nan from about 130 trials on: it sums binomial coefficients, which
# are over 1e38 there, times powers of the probabilities, which are 0.
#
# Guess: as from scipy, 3.0284 for 100 fair trials with two outcomes, 3.1596 for 130 and 3.3750 for 200: it grows as half a logarithm.
# Seen:  3.0339, nan and nan; 3.1220 for 3.1195 at 120. With a rare outcome, 0.01 and 0.99, it is nan from 130 on, too. Log probabilities of
#        the same distribution are right. A policy over more than 130 draws that is rewarded for its entropy is nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "distrax==0.1.9" scipy
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import distrax
import jax.numpy as jnp
import numpy as np
from scipy import stats

trials = (10, 100, 120, 130, 200)
found = {p: [float(distrax.Multinomial(n, probs=jnp.array([p, 1 - p])).entropy()) for n in trials] for p in (0.5, 0.01)}
right = {p: [float(stats.binom(n, p).entropy()) for n in trials] for p in found}
likelihood = float(distrax.Multinomial(200, probs=jnp.array([0.5, 0.5])).log_prob(jnp.array([100.0, 100.0])))
print("distrax", distrax.__version__, dict(zip(trials, found[0.5])), "rare:", found[0.01], "scipy:", right, "log probability:", likelihood)
np.testing.assert_allclose(likelihood, stats.binom(200, 0.5).logpmf(100), rtol=1e-4)
for p in found:
    np.testing.assert_allclose(found[p][:3], right[p][:3], atol=0.006)
    assert np.isnan(found[p][3:]).all(), "the entropy of many trials has changed"
np.testing.assert_allclose(right[0.5][1:], [3.0284, 3.1195, 3.1596, 3.3750], atol=1e-3)
END
