#!/usr/bin/env bash
# jax 0.10.2: in float32 jax.random.truncated_normal with one open end draws 3.4e38, the largest number there is, and between two ends far
# from 0 it has a handful of values. It inverts the distribution function, which is 1 to seven digits there.
#
# Guess: a normal above 4 has its mean at 4.2256, its draws below 10, and as many values as there are draws.
# Seen:  one draw in 2200 is 3.4028e38 (above 3 one in 150000, above 5 one in 18), the others end at 5.42. On 5..6 there are ten values in
#        all, and one draw in 18 is 5.9999995, the end, where three in a thousand should be beyond 5.9.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import numpy as np


def draws(low, high):
    return np.asarray(jax.random.truncated_normal(jax.random.key(0), low, high, (1_000_000,)), np.float64)


found = {}
for low in (4.0, 5.0):
    x = draws(low, np.inf)
    found[low] = ((x > 1e38).mean(), x[x < 1e38].max())
values, counts = np.unique(draws(5.0, 6.0), return_counts=True)
below = np.unique(draws(-6.0, -5.0)).size
print("jax", jax.__version__, "share of 3.4e38, largest other:", found, "on 5..6:", values.tolist(), "share of the last", counts[-1] / 1e6)
np.testing.assert_allclose([found[4.0][0], found[5.0][0]], [4.6e-4, 5.55e-2], rtol=0.2, err_msg="it has changed")
np.testing.assert_allclose([found[4.0][1], found[5.0][1]], 5.42, rtol=1e-3)
assert values.size == below == 10 and values[-1] > 5.9999 and 0.04 < counts[-1] / 1e6 < 0.07, "it has changed"
END
