#!/usr/bin/env bash
# rlax 0.1.9, jax 0.10.2: signed_parabolic, the inverse of the squashing signed_hyperbolic of R2D2 and MuZero, keeps four decimals in
# float32: of numbers below 1e-4 the sign is lost.
#
# Guess: the two are inverse to each other to about seven digits, near 0, too, where both are almost linear.
# Seen:  1e-5 comes back as -6.1e-5, 1e-4 as 6.1e-5, 1e-3 as 9.77e-4. The square root of 1 + 4 eps (...) less 1, divided by 2 eps with
#        eps = 1e-3, leaves steps of 1.2e-4. Derivatives are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "rlax==0.1.9"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import rlax

x = jnp.array([1e-5, 1e-4, 1e-3, 1.0])
back = rlax.signed_parabolic(rlax.signed_hyperbolic(x))
slopes = jax.vmap(jax.grad(rlax.signed_parabolic))(rlax.signed_hyperbolic(x)) * jax.vmap(jax.grad(rlax.signed_hyperbolic))(x)
print("rlax", rlax.__version__, "jax", jax.__version__, x.tolist(), "come back as", back.tolist(), "slopes", slopes.tolist())
np.testing.assert_allclose(slopes, 1, rtol=1e-3)
np.testing.assert_allclose(back, [-6.1035e-5, 6.1035e-5, 9.768e-4, 0.99983], rtol=1e-4, err_msg="the inverse has changed")
END
