#!/usr/bin/env bash
# distrax 0.1.9, jax 0.10.2: in float32 the log density of VonMises is -inf everywhere once its concentration is over 88 or so.
#
# Guess: at concentration 100, that is a spread of 6 degrees, the log density at the mean is 1.3824.
# Seen:  -inf, at every angle: the normaliser is the logarithm of I0(100) = 1e42, which is inf in float32. The entropy of the same
#        distribution is right (-0.8811), and so is the density in tfp and numpyro. A loss that fits angles well ends in inf.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "distrax==0.1.9"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import importlib.metadata

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

concentrations = jnp.array([50.0, 85.0, 100.0, 1e3])
model = distrax.VonMises(0.0, concentrations)
found = {x: np.asarray(model.log_prob(x)) for x in (0.0, 0.1)}
print("distrax", importlib.metadata.version("distrax"), "jax", jax.__version__, {x: v.tolist() for x, v in found.items()}, "entropy", model.entropy())
for x, values in found.items():
    np.testing.assert_allclose(values[:2], scipy.stats.vonmises.logpdf(x, [50, 85]), rtol=1e-4)
    assert (values[2:] == -np.inf).all(), "the density has changed"
np.testing.assert_allclose(scipy.stats.vonmises.logpdf(0, 100), 1.3824, rtol=1e-4)
np.testing.assert_allclose(model.entropy()[2], -0.8811, rtol=1e-3)
END
