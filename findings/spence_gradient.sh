#!/usr/bin/env bash
# jax 0.10.2: the derivative of jax.scipy.special.spence (the dilogarithm) is 0 at 1 and nan between 1 and 2.
#
# Guess: log(x) / (1 - x) everywhere: -1 at 1, -0.8109 at 1.5, -0.6931 at 2. The values are those of scipy.
# Seen:  0, nan, nan; from 2.1 on, and below 1, it is right. Each branch is differentiated, also the one that was not chosen.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

x = jnp.array([0.5, 1, 1.5, 2, 2.1])
values, slopes = jax.vmap(jax.value_and_grad(jax.scipy.special.spence))(x)
print("jax", jax.__version__, "values", values.tolist(), "slopes", slopes.tolist())
np.testing.assert_allclose(values, scipy.special.spence(np.asarray(x, np.float64)), rtol=1e-5, atol=1e-6)
wanted = [np.log(0.5) / 0.5, 0, np.nan, np.nan, np.log(2.1) / -1.1]
np.testing.assert_allclose(slopes, wanted, rtol=1e-4, err_msg="the derivative has changed")
END
