#!/usr/bin/env bash
# numpy 2.4.6, ml_dtypes 0.6.0: NumPy adds up the small dtypes of ml_dtypes in themselves, although it widens its own: bfloat16 stops at 256,
# and int4 wraps around at 8.
#
# Guess: the mean of 1000 ones is 1, as of float16, which np.mean takes in float32; the sum of 7 and 7 is 14, as bytes are added as int64.
# Seen:  0.2559 and a sum of 256, by np.average and np.var, too; of 1000 losses of 2.297, which is what np.asarray makes of a jax array of
#        bfloat16, 1.0234. The sum of 7 and 7 in int4 is -2 and their mean -1. jnp.mean of the same arrays, and dtype=np.float32, are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "ml_dtypes==0.6.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
import ml_dtypes
import numpy as np

ones, halves = np.ones(1000, ml_dtypes.bfloat16), np.ones(1000, np.float16)
losses, small = np.asarray(jnp.full(1000, 2.3, jnp.bfloat16)), np.array([7, 7], ml_dtypes.int4)
found = {
    "bfloat16": [float(f(ones)) for f in (np.mean, np.sum, np.average)],
    "float16": [float(f(halves)) for f in (np.mean, np.sum, np.average)],
    "losses": [float(losses.mean()), float(losses.mean(dtype=np.float32)), float(jnp.mean(losses))],
    "int4": [int(small.sum()), float(small.mean()), float(jnp.mean(small))],
    "int8": int(np.full(1000, 100, np.int8).sum()),
}
print("numpy", np.__version__, "ml_dtypes", ml_dtypes.__version__, found)
assert found["float16"] == [1, 1000, 1] and found["int8"] == 100_000 and found["losses"][1:] == [2.296875] * 2
np.testing.assert_allclose(found["bfloat16"], [0.2559, 256, 0.2559], rtol=1e-3, err_msg="bfloat16 has changed")
np.testing.assert_allclose(found["losses"][0], 1.0234, rtol=1e-3, err_msg="bfloat16 has changed")
assert found["int4"] == [-2, -1, 7], "int4 has changed"
END
