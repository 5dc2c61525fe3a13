#!/usr/bin/env bash
# jax 0.10.2: a compiled function refuses a NumPy array in the other byte order, or a masked one, until it was called with a plain array of
# that dtype. From then on it takes both without a word: bytes are read in the wrong order, masks are dropped.
#
# Guess: jit(lambda x: x + 1) of [1, 2, 3] as big-endian int32 gives [2, 3, 4] or a TypeError, whatever was called before.
# Seen:  TypeError at first; after a call with native int32, [16777217, 33554433, 50331649]. A masked array: ValueError at first, then
#        the numbers under the mask as if they were not masked.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import numpy as np

plain = np.array([1, 2, 3], "<i4")
others = {"swapped": plain.astype(">i4"), "masked": np.ma.masked_array(plain, [False, True, False])}


def call(function, x):
    try:
        return np.asarray(function(x)).tolist()
    except Exception as error:
        return type(error).__name__


found = {}
for name, other in others.items():
    cold, warm = jax.jit(lambda x: x + 1), jax.jit(lambda x: x + 1)
    warm(plain)
    found[name] = [call(cold, other), call(warm, other)]
print("jax", jax.__version__, found)
assert found == {"swapped": ["TypeError", [16777217, 33554433, 50331649]], "masked": ["ValueError", [2, 3, 4]]}, "jit has changed"
END
