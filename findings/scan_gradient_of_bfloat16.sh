#!/usr/bin/env bash
# jax 0.10.2: the gradient of what all steps of lax.scan or lax.map share is added up step by step in its own dtype: in bfloat16 that of a
# weight stops at 256 steps of 1, and small gradients of late steps are lost sooner.
#
# Guess: lax.map is vmap with less memory, so the gradients agree to a rounding: 1000 for a weight that multiplies 1000 ones.
# Seen:  1000 from vmap and 256 from lax.map and from scan, compiled or not; 1000 from lax.map with batch_size=100. A head or an encoder
#        whose batch is run in parts to save memory learns another thing. With a float32 weight, cast to bfloat16 inside, it is 1000.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
from jax import lax

ones = jnp.ones(1000, jnp.bfloat16)
ways = {
    "vmap": lambda f: jax.vmap(f)(ones),
    "map": lambda f: lax.map(f, ones),
    "map in batches": lambda f: lax.map(f, ones, batch_size=100),
    "scan": lambda f: lax.scan(lambda carry, x: (carry, f(x)), None, ones)[1],
}


def slope(way, dtype):
    gradient = jax.grad(lambda weight: way(lambda x: x * weight.astype(jnp.bfloat16)).astype(jnp.float32).sum())
    weight = jnp.ones((), dtype)
    assert gradient(weight) == jax.jit(gradient)(weight)
    return float(gradient(weight))


found = {name: [slope(way, dtype) for dtype in (jnp.bfloat16, jnp.float32)] for name, way in ways.items()}
print("jax", jax.__version__, "gradient of a bfloat16 and of a float32 weight:", found)
assert found["vmap"] == found["map in batches"] == [1000, 1000]
assert found["map"] == found["scan"] == [256, 1000], "the sum over steps has changed"
END
