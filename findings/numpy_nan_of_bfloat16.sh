#!/usr/bin/env bash
# numpy 2.4.6, ml_dtypes 0.6.0: NumPy's functions that leave nan out, or put it last, do not see the nan of bfloat16 and float8, although
# np.isnan does: those dtypes are no subtypes of np.inexact.
#
# Guess: np.nanmean of (1, nan, 3) is 2, np.nan_to_num of nan 0, and np.sort puts nan last, as in float16.
# Seen:  nanmean, nansum and nanstd are nan, nan_to_num gives the nan back; of (1, nan, 3, -2) the sorted array is (1, nan, -2, 3),
#        in which nothing can be searched, and nanargmax is the place of the nan. Such arrays are what np.asarray makes of jax's bfloat16
#        losses. jnp's functions of the same arrays are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "ml_dtypes==0.6.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax.numpy as jnp
import ml_dtypes
import numpy as np

numbers, found = [1, np.nan, 3, -2], {}
for dtype in (np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2):
    x = np.array(numbers, dtype)
    found[np.dtype(dtype).name] = {
        "isnan": int(np.isnan(x).sum()),
        "nanmean": float(np.nanmean(x[:3])),
        "nan": [float(f(x)) for f in (np.nansum, np.nanstd)],
        "nan_to_num": np.nan_to_num(x).astype(float).tolist(),
        "sort": np.sort(x).astype(float).tolist(),
        "nanargmax": int(np.nanargmax(x)),
        "jnp": [float(jnp.nanmean(jnp.asarray(x[:3]))), float(jnp.nan_to_num(jnp.asarray(x))[1]), float(jnp.sort(jnp.asarray(x))[0])],
    }
print("numpy", np.__version__, "ml_dtypes", ml_dtypes.__version__, found)
half = found.pop("float16")
assert half["nanmean"] == 2 and half["nan_to_num"] == [1, 0, 3, -2] and half["sort"][:3] == [-2, 1, 3] and half["nanargmax"] == 2
for name, seen in found.items():
    assert seen["isnan"] == 1 and seen["jnp"] == [2, 0, -2]
    assert np.isnan([seen["nanmean"], *seen["nan"], seen["nan_to_num"][1]]).all() and seen["nanargmax"] == 1, f"{name} has changed"
    np.testing.assert_array_equal(seen["sort"], [1, np.nan, -2, 3], err_msg=f"{name} has changed")
END
