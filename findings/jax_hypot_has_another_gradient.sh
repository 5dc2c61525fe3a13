#!/usr/bin/env bash
# jax 0.10.2: in float32 the gradient of jnp.hypot is nan and -inf where both numbers are below 3e-20 or so, and wrong without a sign of it
# where they are over 1e19. The value is scaled so that no square over- or underflows; its derivative is that of a quotient, y**-2 and all.
#
# Guess: (x, y) / hypot(x, y), which is (0.6, 0.8) for every multiple of (3, 4), as the value is right for each: 5e-30 and 5e30, too.
# Seen:  (nan, -inf) at 3e-20 and below, (0.6, 1.25) from 3e19 on. At 0 it is (0.5, 0.5), a vector that no direction has. Compiled, too.
#        Lengths of vectors are computed by hypot for the sake of such numbers. In between it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax
import jax.numpy as jnp
import numpy as np

slope = jax.grad(jnp.hypot, (0, 1))
scales = (1e-30, 1e-20, 1e-10, 1.0, 1e18, 1e19, 1e30)
found = {scale: [float(number) for number in slope(3 * scale, 4 * scale)] for scale in scales}
compiled = {scale: [float(number) for number in jax.jit(slope)(3 * scale, 4 * scale)] for scale in scales}
values = [float(jnp.hypot(3 * scale, 4 * scale)) / scale for scale in scales]
origin = [float(number) for number in slope(0.0, 0.0)]
print("jax", jax.__version__, found, "compiled", compiled, "at 0", origin, "values", values)
np.testing.assert_allclose(values, 5, rtol=1e-5)
for numbers in (found, compiled):
    for scale in (1e-10, 1.0, 1e18):
        np.testing.assert_allclose(numbers[scale], [0.6, 0.8], rtol=1e-5)
    for scale in (1e-30, 1e-20):
        assert np.isnan(numbers[scale][0]) and numbers[scale][1] == -np.inf, "small numbers have changed"
    for scale in (1e19, 1e30):
        np.testing.assert_allclose(numbers[scale], [0.6, 1.25], rtol=1e-5, err_msg="large numbers have changed")
assert origin == [0.5, 0.5], "the origin has changed"
END
