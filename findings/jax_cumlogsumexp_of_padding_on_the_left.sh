#!/usr/bin/env bash
# jax 0.10.2: the gradient of lax.cumlogsumexp is nan in every leading number that is -inf, although the sums behind it are finite.
#
# Guess: exp(-inf) adds nothing to a sum, so its derivative is 0, as that of logsumexp is, and of cumlogsumexp where the -inf comes later.
# Seen:  (nan, nan, 1) for the last sum of (-inf, -inf, 0), (1, 0, 0) for that of (0, -inf, -inf), and with reverse=True the other way
#        round. One -inf in the front is right. Log weights of a sequence that is padded on the left, and of hidden states that cannot come
#        first, make all parameters nan. With -1e30 in their place it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax
import jax.numpy as jnp
import numpy as np

inf = jnp.inf
left, right = jnp.array([-inf, -inf, 0.0]), jnp.array([0.0, -inf, -inf])


def last(x):
    return jax.lax.cumlogsumexp(x)[-1]


found = {
    "left": jax.grad(last)(left),
    "compiled": jax.jit(jax.grad(last))(left),
    "reversed": jax.grad(lambda x: jax.lax.cumlogsumexp(x, reverse=True)[0])(right),
    "right": jax.grad(last)(right),
    "one": jax.grad(last)(jnp.array([-inf, 0.0, 1.0])),
    "logsumexp": jax.grad(jax.scipy.special.logsumexp)(left),
    "finite": jax.grad(last)(jnp.maximum(left, -1e30)),
}
found = {name: np.asarray(values).tolist() for name, values in found.items()}
sums = np.asarray(jax.lax.cumlogsumexp(left)).tolist()
print("jax", jax.__version__, "sums", sums, "gradients", found)
assert sums == [-inf, -inf, 0]
assert found["right"] == [1, 0, 0] and found["logsumexp"] == found["finite"] == [0, 0, 1]
np.testing.assert_allclose(found["one"], [0, 1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-5)
for name in ("left", "compiled"):
    np.testing.assert_equal(found[name], [np.nan, np.nan, 1.0], err_msg="the gradient has changed")
np.testing.assert_equal(found["reversed"], [1.0, np.nan, np.nan], err_msg="the gradient has changed")
END
