#!/usr/bin/env bash
# jax 0.10.2 on x86 CPUs: lax.top_k orders nan by its sign bit. The nan of 0 / 0, of sqrt(-1) and of inf - inf has the bit set and comes
# last, behind -inf; the constant jnp.nan, and a missing value of NumPy, comes first. jnp.sort, argsort and argmax take every nan for the
# largest.
#
# Guess: top_k of [3, nan, 1] puts nan first, whatever computed it, as jnp.sort(descending=True) does.
# Seen:  nan first if it is jnp.nan, last if it is 0 / 0; and the other way round for -x, the usual way to the k nearest. So hard-example
#        mining and beam search hide the nan of one batch and choose that of another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$(uname -m)" = x86_64 ] || { echo "the sign of a computed nan is another on other machines"; exit 1; }
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp

written = jnp.array([3, jnp.nan, 1])
computed = jnp.array([3.0, 0, 1]) / jnp.array([1.0, 0, 1])


def ranks(x):
    top = [jax.lax.top_k(x, 3)[1].tolist(), jax.lax.top_k(-x, 3)[1].tolist()]
    return [*top, jnp.argsort(x, descending=True).tolist(), int(jnp.argmax(x))]


found = {"written": ranks(written), "computed": ranks(computed), "sqrt": ranks(jnp.sqrt(jnp.array([9.0, -1, 1])))}
print("jax", jax.__version__, "top_k of x, of -x, argsort, argmax:", found)
assert found["written"] == [[1, 0, 2], [2, 0, 1], [1, 0, 2], 1], "top_k of a written nan has changed"
assert found["computed"] == found["sqrt"] == [[0, 2, 1], [1, 2, 0], [1, 0, 2], 1], "top_k of a computed nan has changed"
END
