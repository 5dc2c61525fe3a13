#!/usr/bin/env bash
# jax 0.10.2: the derivative of jax.scipy.special.logsumexp(a, b=b) in a weight that is 0 is 0. Where b is 0, a is replaced by -inf, and that
# replacement is differentiated, too.
#
# Guess: log(sum(b exp(a))) has the derivative exp(a_i) / sum(b exp(a)) in b_i: 0.3679 and 1 for a = (1, 2), b = (0, 1).
# Seen:  0 and 1, forward and backward; at b = (1e-6, 1) 0.3679. A part of a mixture whose weight is 0, or has been projected to 0, never
#        comes back, though the data ask for it. jnp.log(jnp.sum(b * jnp.exp(a))) is right.
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
from jax.scipy.special import logsumexp

a, none, few = jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0]), jnp.array([1e-6, 1.0])
backward = jax.grad(lambda b: logsumexp(a, b=b))
forward = jax.jvp(lambda b: logsumexp(a, b=b), (none,), (jnp.array([1.0, 0.0]),))[1]
plain = jax.grad(lambda b: jnp.log(jnp.sum(b * jnp.exp(a))))(none)
print("jax", jax.__version__, "at 0", backward(none).tolist(), float(forward), "at 1e-6", backward(few).tolist(), "plain", plain.tolist())
np.testing.assert_allclose(backward(few), [0.36788, 1], rtol=1e-4)
np.testing.assert_allclose(plain, [0.36788, 1], rtol=1e-4)
assert backward(none).tolist() == [0, 1] and forward == 0, "the derivative has changed"
END
