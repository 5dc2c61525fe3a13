#!/usr/bin/env bash
# jax 0.10.2: in float32 jax.random.generalized_normal of a large power, and jax.random.ball in a norm of large p, draw exact zeros: the
# gamma variate whose p-th root they take is less than float32 can hold.
#
# Guess: a density like exp(-|x|**p) is flat near 0 and goes over into the uniform on -1..1: no draw of 100000 is 0 or close to it, and a
#        point of the ball is on no axis.
# Seen:  at p = 50, 17.6 % of the draws are 0 and none is between 0 and 0.17; at p = 100, 42 % and 0.41. Two points of three of the ball of
#        p = 100 in the plane are on an axis. At p = 10 it is one draw in 6000.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import numpy as np

key, found = jax.random.key(0), {}
for p in (2.0, 50.0, 100.0):
    x = np.abs(jax.random.generalized_normal(key, p, (100_000,)))
    points = np.asarray(jax.random.ball(key, 2, p, (100_000,)))
    found[p] = ((x == 0).mean(), x[x > 0].min(), (points == 0).any(axis=1).mean())
print("jax", jax.__version__, "share of 0, smallest other, share of points on an axis:", found)
assert found[2.0][0] == found[2.0][2] == 0
np.testing.assert_allclose(found[50.0], [0.176, 0.174, 0.32], rtol=5e-2, err_msg="it has changed")
np.testing.assert_allclose(found[100.0], [0.42, 0.417, 0.664], rtol=5e-2, err_msg="it has changed")
END
