#!/usr/bin/env bash
# jaxopt 0.8.5, jax 0.10.2: two operators that leave the zero vector where it is have the derivative nan there: projection_l2_ball, deep
# inside of the ball, and prox_group_lasso. The norm is differentiated at 0 in the branch that is not taken.
#
# Guess: inside of the ball the projection is the identity, with the derivative 1; near 0 the group lasso is constant, with the derivative
#        0. Differences say so.
# Seen:  nan in all entries at exactly 0, right at 1e-6 beside it. The gradient of a loss through projected weights is nan at the usual
#        beginning, zeros, and for every group that the lasso has set to zero before: one more step makes it nan. projection_l1_ball,
#        prox_lasso and prox_elastic_net are right at 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "jaxopt==0.8.5"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
from jaxopt import projection, prox

zero, beside = jnp.zeros(2), jnp.array([1e-6, 0.0])


def derivatives(operator):
    """The Jacobian at 0, that beside it, and the one by differences around 0."""
    differences = np.stack([(operator(0.01 * e) - operator(-0.01 * e)) / 0.02 for e in jnp.eye(2)], axis=1)
    return [np.round(np.array(x), 4).tolist() for x in (jax.jacobian(operator)(zero), jax.jacobian(operator)(beside), differences)]


def gradient_of_a_step(weights):
    """Of a loss of weights that were shrunk once more, as in the second of two proximal steps."""
    return jax.grad(lambda w: jnp.sum((prox.prox_group_lasso(w) - 1) ** 2))(weights).tolist()


operators = projection.projection_l2_ball, projection.projection_l1_ball, prox.prox_group_lasso, prox.prox_lasso
found = {operator.__name__: derivatives(operator) for operator in operators}
shrunk = prox.prox_group_lasso(jnp.array([0.3, 0.4]))
step = gradient_of_a_step(shrunk)
print(found, "a group set to zero:", shrunk, "gradient:", step)
identity, nothing = np.eye(2).tolist(), np.zeros((2, 2)).tolist()
assert found["projection_l1_ball"] == [identity] * 3 and found["prox_lasso"] == [nothing] * 3
assert found["projection_l2_ball"][1:] == [identity] * 2 and found["prox_group_lasso"][1:] == [nothing] * 2
assert np.isnan(found["projection_l2_ball"][0]).all(), "the ball has changed"
assert np.isnan(found["prox_group_lasso"][0]).all() and np.isnan(step).all() and shrunk.tolist() == [0, 0], "the group lasso has changed"
END
