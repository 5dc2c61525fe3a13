#!/usr/bin/env bash
# ml_dtypes 0.6.0, numpy 2.4.6, jax 0.10.2: float64 and int64 numbers become bfloat16 and float8 by way of float32, so they are rounded
# twice, and not to the nearest. In float4 and float6, which have no nan, a nan becomes -0.
#
# Guess: 1 + 2**-8 + 2**-40 is above the middle of the bfloat16 numbers 1 and 1.0078125, so it is 1.0078125; a nan is the largest number, as
#        inf.
# Seen:  1, also from jax in x64; 1 + 2**-4 + 2**-40 is 1 for 1.125 in float8_e4m3fn, and 2**30 + 2**22 + 1 is 2**30. To float16 NumPy
#        rounds once. A nan is -0.0 in float4_e2m1fn and float6_e2m3fn, in jax, too: a block with a nan is quantised to a block with a 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "ml_dtypes==0.6.0" "numpy==2.4.6"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

over, finer = 1 + 2**-8 + 2**-40, 1 + 2**-4 + 2**-40
with jax.enable_x64(True):
    by_jax = float(jnp.array(over, jnp.float64).astype(jnp.bfloat16).astype(jnp.float64))
rounded = {
    "bfloat16": float(np.array(over).astype(ml_dtypes.bfloat16)),
    "jax": by_jax,
    "float8_e4m3fn": float(np.array(finer).astype(ml_dtypes.float8_e4m3fn)),
    "integer": int(float(np.array(2**30 + 2**22 + 1).astype(ml_dtypes.bfloat16))) - 2**30,
    "float16": float(np.array(1 + 2**-11 + 2**-40).astype(np.float16)),
}
nans = [float(np.array(np.nan).astype(dtype)) for dtype in (ml_dtypes.float4_e2m1fn, ml_dtypes.float6_e2m3fn)]
nans.append(float(jnp.array(jnp.nan).astype(jnp.float4_e2m1fn).astype(jnp.float32)))
print("ml_dtypes", ml_dtypes.__version__, "jax", jax.__version__, rounded, "nan", nans)
assert rounded.pop("float16") == 1 + 2**-10
assert rounded == {"bfloat16": 1, "jax": 1, "float8_e4m3fn": 1, "integer": 0}, "rounding has changed"
assert nans == [0, 0, 0] and np.signbit(nans).all(), "nan has changed"
END
