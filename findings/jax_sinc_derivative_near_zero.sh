#!/usr/bin/env bash
# jax 0.10.2: in float32 the derivative of jnp.sinc loses its digits near 0 and is hundreds of times too large there, the second derivative
# is anything. Only at exactly 0 there is a series; next to it a difference of two large quotients is taken.
#
# Guess: sinc is 1 - pi**2 x**2 / 6 there: -3.29 x, which is -0.00329 at 1e-3, -3.3e-4 at 1e-4 and -3.3e-5 at 1e-5, and -3.29 everywhere.
# Seen:  -0.00332, -0.00136 and -0.0061; -3.40, +5.96 and -804, then -102944 at 1e-6. At 0 both are right, at 0.01 to three digits. Sample
#        points of an interpolation and the origin of a radial basis are where a learned shift is near 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import math

import jax
import jax.numpy as jnp
import numpy as np

points = np.array([0.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6], np.float32)
first = np.array([float(jax.grad(jnp.sinc)(x)) for x in points])
second = np.array([float(jax.grad(jax.grad(jnp.sinc))(x)) for x in points])
series = -(math.pi**2) * points.astype(np.float64) / 3 * (1 - (math.pi * points.astype(np.float64)) ** 2 / 10)
print("jax", jax.__version__, "points", points.tolist(), "first", first.tolist(), "second", second.tolist(), "series", series.tolist())
np.testing.assert_allclose(jnp.sinc(points), np.sinc(points.astype(np.float64)), rtol=1e-5)
np.testing.assert_allclose(first[:3], series[:3], rtol=1e-2)
np.testing.assert_allclose(second[:3], [-math.pi**2 / 3, -3.1938, -math.pi**2 / 3], rtol=1e-2)
assert abs(first[4] / series[4]) > 3 and abs(first[5] / series[5]) > 100, "the first derivative has changed"
assert second[4] > 1 and second[5] < -100 and second[6] < -10000, "the second derivative has changed"
END
