#!/usr/bin/env bash
# flax 0.12.8, nnx.metrics.Average and what is built on it: a mask of weights multiplies the values, but their sum is cut to a whole number
# before it is the divisor, and a masked nan is still in the sum.
#
# Guess: values 1 and 2 with the mask (0.5, 1) average to 2.5 / 1.5 = 1.667, or to 1.5 if a mask is only true or false (as clu 0.0.12 has
#        it); 1 and nan with the mask (1, 0) average to 1.
# Seen:  2.5, more than either; inf with the mask (0.5, 0.4); nan. A mask of zeros and ones without nan is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "flax==0.12.8" "clu==0.0.12"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import clu.metrics
import flax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def average(values, mask):
    values, mask = jnp.array(values), jnp.array(mask)
    metric = nnx.metrics.Average()
    metric.update(values=values, mask=mask)
    return float(metric.compute()), float(clu.metrics.Average.from_model_output(values, mask).compute())


cases = {"weights": ([1.0, 2], [0.5, 1]), "small": ([1.0, 2], [0.5, 0.4]), "nan": ([1, np.nan], [1.0, 0]), "plain": ([1.0, 2], [1.0, 0])}
found = {name: average(*case) for name, case in cases.items()}
print("flax", flax.__version__, "nnx, clu:", found)
wanted = {"weights": (2.5, 1.5), "small": (np.inf, 1.5), "nan": (np.nan, 1), "plain": (1, 1)}
for name, pair in wanted.items():
    np.testing.assert_allclose(found[name], pair, rtol=1e-5, err_msg=f"{name} has changed")
END
