#!/usr/bin/env bash
# jax 0.10.2 and numpy 2.4.6: the standard deviation and the norm of float16 numbers over 256 are inf, and those of numbers under 1e-4 are
# 0, although the means of both packages add up in float32: variance and sum of squares are rounded to float16 before the root.
#
# Guess: the deviation of (300, -300) is 300 and the norm of (300, 400) is 500, numbers that float16 has.
# Seen:  inf and inf, and 0 and 0 for (0.0001, -0.0001) and (0.0001, 0.0001); jnp.corrcoef of the first with itself is nan. So standardised
#        targets are 0, or inf. bfloat16 is right in jax. dtype=jnp.float32 helps jnp.std; jnp.linalg.norm has no such option.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax
import jax.numpy as jnp
import numpy as np


def seen(np, dtype):
    large, small = np.array([300, -300], dtype), np.array([1e-4, -1e-4], dtype)
    spread = [float(np.std(x)) for x in (large, small)]
    norm = [float(np.linalg.norm(x)) for x in (np.array([300, 400], dtype), np.array([1e-4, 1e-4], dtype))]
    return [*spread, *norm, float(np.mean(np.full(5000, 300, dtype)))]


found = {"jax float16": seen(jnp, jnp.float16), "jax bfloat16": seen(jnp, jnp.bfloat16), "numpy float16": seen(np, np.float16)}
x = jnp.array([300, -300], jnp.float16)
found["corrcoef"], found["float32"] = float(jnp.corrcoef(x, x)[0, 1]), float(jnp.std(x, dtype=jnp.float32))
print("jax", jax.__version__, "numpy", np.__version__, "deviations, norms, mean:", found)
np.testing.assert_allclose(found["jax bfloat16"], [300, 1e-4, 500, 1.414e-4, 300], rtol=0.01)
assert found["float32"] == 300
for name in ("jax float16", "numpy float16"):
    assert found[name][:2] == [np.inf, 0] and found[name][2] == np.inf and found[name][4] == 300, f"{name} has changed"
END
