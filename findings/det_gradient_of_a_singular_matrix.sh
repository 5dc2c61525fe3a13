#!/usr/bin/env bash
# jax 0.10.2: the gradient of jnp.linalg.det at a singular matrix of four rows or more is 0 if elimination meets its zero before the last
# row. It is the matrix of cofactors up to three rows, and where the zero pivot is the last one.
#
# Guess: the derivative of the determinant of diag(0, 1, 2, 3) in its first number is 1 * 2 * 3 = 6.
# Seen:  0, forward and backward, compiled or not; for diag(0, 1, 2) it is 2, for diag(3, 2, 1, 0) 6, for diag(1e-6, 1, 2, 3) 6. The
#        determinant of a Gram matrix of which the first feature is 0 has no gradient that would bring that feature in; it has if the
#        feature stands last.
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

matrices = {
    "0, 1, 2": jnp.diag(jnp.arange(3.0)),
    "0, 1, 2, 3": jnp.diag(jnp.arange(4.0)),
    "3, 2, 1, 0": jnp.diag(jnp.arange(4.0)[::-1]),
    "1e-6, 1, 2, 3": jnp.diag(jnp.array([1e-6, 1.0, 2.0, 3.0])),
}
found = {name: float(jnp.abs(jax.grad(jnp.linalg.det)(matrix)).max()) for name, matrix in matrices.items()}
singular = matrices["0, 1, 2, 3"]
first = jnp.zeros((4, 4)).at[0, 0].set(1.0)
found["compiled"] = float(jnp.abs(jax.jit(jax.grad(jnp.linalg.det))(singular)).max())
found["forward"] = float(jax.jvp(jnp.linalg.det, (singular,), (first,))[1])
slope = float(jnp.linalg.det(singular + 0.1 * first) / 0.1)
print("jax", jax.__version__, "largest derivatives", found, "difference quotient", slope)
np.testing.assert_allclose([found["0, 1, 2"], found["3, 2, 1, 0"], found["1e-6, 1, 2, 3"], slope], [2, 6, 6, 6], rtol=1e-4)
assert found["0, 1, 2, 3"] == found["compiled"] == found["forward"] == 0, "the gradient of det has changed"
END
