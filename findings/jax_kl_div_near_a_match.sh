#!/usr/bin/env bash
# jax 0.10.2: in float32 jax.scipy.special.kl_div, whose point is that each of its terms is 0 or more, is negative, 0 or dozens of times too
# large where the two numbers are close: x * log(x / y), -x and y are added up as they stand.
#
# Guess: as from scipy's function in float32: about (x - y)**2 / (2 x), 1.7e-8 for 0.3 and 0.3001, 1.0e-7 for 5 and 5.001, 5.0e-6 for 1000
#        and 1000.1.
# Seen:  -3.0e-8, 4.8e-7 and 3.7e-4; 0 for 1 and 1.0001. The derivative in y, 1 - x / y, is right. Counts that a model fits well have a
#        divergence that is mostly rounding, and a negative one has no root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax
import numpy as np
import scipy.special

x, y = np.array([0.3, 5, 1000, 1, 1], np.float32), np.array([0.3001, 5.001, 1000.1, 1.0001, 2], np.float32)
found = np.array([float(jax.scipy.special.kl_div(*pair)) for pair in zip(x, y)])
compiled = np.array(jax.jit(jax.scipy.special.kl_div)(x, y), np.float64)
slopes = np.array([float(jax.grad(jax.scipy.special.kl_div, 1)(*pair)) for pair in zip(x, y)])
right = scipy.special.kl_div(x.astype(np.float64), y.astype(np.float64))
by_scipy = scipy.special.kl_div(x, y)
print("jax", jax.__version__, found.tolist(), "compiled", compiled.tolist(), "scipy", by_scipy.tolist(), "right", right.tolist())
assert by_scipy.dtype == np.float32
np.testing.assert_allclose(by_scipy, right, rtol=1e-3)
np.testing.assert_allclose(found[4], right[4], rtol=1e-6)
np.testing.assert_allclose(slopes, 1 - x.astype(np.float64) / y, rtol=2e-3)
for numbers in (found, compiled):
    assert numbers[0] < 0 and numbers[1] > 3 * right[1] and numbers[2] > 10 * right[2], "kl_div has changed"
assert found[3] == 0, "kl_div has changed"
END
