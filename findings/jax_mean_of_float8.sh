#!/usr/bin/env bash
# jax 0.10.2 on CPUs: jnp.mean, sum and var of float8 numbers add up in float8. Those of float16 and bfloat16 add up in float32.
#
# Guess: the mean of 100 ones is 1, and their variance 0, in every floating dtype; a sum is rounded once, at the end, to 96 for 100 ones.
# Seen:  in float8_e4m3fn 0.6875, 0.0859 and 64; of 1000 ones, mean, variance and softmax are nan, as the number 1000 itself is; in
#        float8_e5m2 the mean of 1000 ones is 0.0625. jnp.dot adds up in float32. jnp.mean(x, dtype=jnp.float32) is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp


def of_ones(dtype, n):
    x = jnp.ones(n, dtype)
    return [float(function(x)) for function in (jnp.mean, jnp.var, jnp.sum)]


found = {(name, n): of_ones(name, n) for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2") for n in (100, 1000)}
x = jnp.ones(100, jnp.float8_e4m3fn)
right = float(jnp.dot(x, x)), float(jnp.mean(x, dtype=jnp.float32))
soft = jax.nn.softmax(jnp.zeros(1000, jnp.float8_e4m3fn))
print("jax", jax.__version__, "mean, variance, sum of n ones:", found, "dot, mean in float32", right, "softmax", soft[0])
assert found["float16", 1000] == found["bfloat16", 1000] == [1, 0, 1000] and right == (96, 1)
assert found["float8_e4m3fn", 100] == [0.6875, 0.0859375, 64], "float8 has changed"
assert str(found["float8_e4m3fn", 1000][:2]) == "[nan, nan]" and jnp.isnan(soft).all(), "float8 has changed"
assert found["float8_e5m2", 1000][0] == 0.0625, "float8 has changed"
END
