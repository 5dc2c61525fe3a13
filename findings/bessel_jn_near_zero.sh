#!/usr/bin/env bash
# jax 0.10.2: in float32 jax.scipy.special.bessel_jn is nan for every argument from 0 to 3. It starts its recurrence 50 orders up by
# default, and on the way down each step multiplies by up to 100 / z.
#
# Guess: as in scipy: J0 and J1 are 1 and 0 at 0, 0.9385 and 0.2423 at 0.5.
# Seen:  nan for all orders at 0, 0.5, 1, 2 and 3; at 5 it is right. With n_iter=10 it is right at 0.5 and 1 (at 0 nan, too). In float64 it
#        is right from 0.001 on. A radial basis of Bessel functions is nan at its origin.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "scipy==1.17.1"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.scipy.special import bessel_jn

points = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0]
found = np.array([bessel_jn(jnp.float32(z), v=1) for z in points]).reshape(6, 2)
few = np.array([bessel_jn(jnp.float32(z), v=1, n_iter=10) for z in points[:3]]).reshape(3, 2)
right = np.array([scipy.special.jv([0, 1], z) for z in points])
print("jax", jax.__version__, "J0 and J1 at", points, found.tolist(), "with n_iter=10", few.tolist(), "scipy", right.tolist())
np.testing.assert_allclose(found[5], right[5], rtol=1e-4)
np.testing.assert_allclose(few[1:], right[1:3], rtol=1e-4)
assert np.isnan(found[:5]).all() and np.isnan(few[0]).all(), "bessel_jn has changed"
END
