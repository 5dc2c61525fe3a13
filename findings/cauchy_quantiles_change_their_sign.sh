#!/usr/bin/env bash
# jax 0.10.2, numpyro 0.22.0, tfp-nightly 0.26.0.dev20261027: in float32 the quantile of a Cauchy distribution at 0 is +22877334 and that at
# 1 is -22877334: pi / 2 is rounded up, and the tangent of it is beyond its pole.
#
# Guess: -inf and inf, as in scipy, or at least large numbers of that sign. The survival at 1e-30 is about at 3e29.
# Seen:  the opposite signs, from ppf of 0 to 1e-8 and from isf, where both ends are turned round, and from the quantiles of numpyro and
#        tfp. At 1e-6 it is -327254 for -318310. Sampling by inversion sends a draw of 0 to the wrong end of the line.
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

ends = [jnp.float32(0), jnp.float32(1e-8), jnp.float32(1)]
found = {
    "ppf": [float(stats.cauchy.ppf(p)) for p in ends],
    "isf": [float(stats.cauchy.isf(p)) for p in reversed(ends)],
    "numpyro": [float(numpyro.distributions.Cauchy().icdf(p)) for p in ends],
    "tfp": [float(tfp.distributions.Cauchy(0.0, 1.0).quantile(p)) for p in ends],
}
near = float(stats.cauchy.ppf(jnp.float32(1e-6)))
print("jax", jax.__version__, "at 0, 1e-8 and 1", found, "at 1e-6", near)
np.testing.assert_allclose(near, -327254, rtol=1e-3)
for name in ("ppf", "numpyro", "tfp"):
    np.testing.assert_allclose(found[name], [22877334, 22877334, -22877334], rtol=1e-3, err_msg=f"{name} has changed")
assert found["isf"][0] > 1e7 and found["isf"][2] < -1e7, "isf has changed"
END
