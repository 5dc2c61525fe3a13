#!/usr/bin/env bash
# jax 0.10.2, numpy 2.4.6: a quantile that falls exactly on one of the numbers is nan if it, or the next one in NumPy, is infinite. Both
# interpolate with a weight of 0, and 0 * inf is nan. In NumPy the difference of two float16 numbers overflows in the same way.
#
# Guess: of 1, 2 and inf the median is 2 and the largest is inf; of -60000 and 60000 in float16 the half is 0.
# Seen:  jnp.quantile has 2 and nan, and nan for the least of -inf, 1 and 2. np.quantile has nan and nan, although np.median has 2; of the
#        float16 numbers np.quantile has -inf at a half and nan at 0. jnp.nanquantile and np.nanquantile of inf are nan, too. Losses with
#        one inf have no upper quantile.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import warnings

import jax
import jax.numpy as jnp
import numpy as np

warnings.simplefilter("ignore")
high, low = np.array([1, 2, np.inf], np.float32), np.array([-np.inf, 1, 2], np.float32)
half = np.array([-60000, 60000], np.float16)
found = {
    "jnp": [float(jnp.quantile(high, p)) for p in (0.0, 0.5, 1.0)] + [float(jnp.quantile(low, 0.0))],
    "jnp.nanquantile": [float(jnp.nanquantile(high, 1.0))],
    "np": [float(np.quantile(high, p)) for p in (0.0, 0.5, 1.0)],
    "np.nanquantile": [float(np.nanquantile(high, 1.0))],
    "float16": [float(np.quantile(half, p)) for p in (0.0, 0.5, 1.0)],
}
medians = [float(np.median(high)), float(jnp.median(high)), float(np.median(half))]
print("jax", jax.__version__, "numpy", np.__version__, found, "medians", medians)
assert medians == [2, 2, 0]
nan = np.nan
np.testing.assert_equal(found["jnp"], [1, 2, nan, nan], err_msg="jnp.quantile has changed")
np.testing.assert_equal(found["np"], [1, nan, nan], err_msg="np.quantile has changed")
np.testing.assert_equal(found["jnp.nanquantile"] + found["np.nanquantile"], [nan, nan], err_msg="nanquantile has changed")
np.testing.assert_equal(found["float16"], [nan, -np.inf, 60000], err_msg="np.quantile of float16 has changed")
END
