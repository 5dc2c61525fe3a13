#!/usr/bin/env bash
# jax 0.10.2 on CPUs: a scatter of additions adds up in the dtype of the array: in bfloat16 it stops at 256, in float16 at 2048. So do
# jax.ops.segment_sum, jnp.bincount with weights, x.at[i].add, and the gradient of every lookup table[i].
#
# Guess: 1000 ones added into one place are 1000, as by jnp.sum, which adds up in float32, and by the gradient of a broadcast.
# Seen:  256, compiled or not. The row of a token that comes 1000 times in a batch gets a quarter of its gradient, frequent classes and
#        large segments lose most. A float32 table, cast after the lookup or before it, gets 1000; so does one_hot(i) @ table.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp

places = jnp.zeros(1000, int)


def loss(table, lookup):
    return lookup(table).astype(jnp.float32).sum()


def gradient(dtype, lookup):
    slope = jax.grad(loss)
    table = jnp.ones((2, 1), dtype)
    once, compiled = slope(table, lookup), jax.jit(slope, static_argnums=1)(table, lookup)
    assert (once == compiled).all()
    return float(once[0, 0])


ones = jnp.ones(1000, jnp.bfloat16)
found = {
    "sum": float(ones.sum()),
    "segment_sum": float(jax.ops.segment_sum(ones, places, 2)[0]),
    "bincount": float(jnp.bincount(places, weights=ones, length=2)[0]),
    "add": float(jnp.zeros(2, jnp.bfloat16).at[places].add(1)[0]),
    "lookup": gradient(jnp.bfloat16, lambda t: t[places]),
    "lookup of float32": gradient(jnp.float32, lambda t: t[places].astype(jnp.bfloat16)),
    "lookup of cast float32": gradient(jnp.bfloat16, lambda t: t.astype(jnp.float32)[places]),
    "one_hot": gradient(jnp.bfloat16, lambda t: jax.nn.one_hot(places, 2, dtype=t.dtype) @ t),
    "broadcast": gradient(jnp.bfloat16, lambda t: jnp.ones((1000, 1), t.dtype) * t[0]),
    "float16": float(jax.ops.segment_sum(jnp.ones(5000, jnp.float16), jnp.zeros(5000, int), 2)[0]),
}
print("jax", jax.__version__, found)
assert all(found[name] == 1000 for name in ("sum", "lookup of float32", "lookup of cast float32", "one_hot", "broadcast"))
assert all(found[name] == 256 for name in ("segment_sum", "bincount", "add", "lookup")), "bfloat16 has changed"
assert found["float16"] == 2048, "float16 has changed"
END
