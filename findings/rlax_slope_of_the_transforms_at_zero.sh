#!/usr/bin/env bash
# rlax 0.1.9, jax 0.10.2: the transforms of values that are written as sign(x) * f(|x|) have no derivative at exactly 0: it is 0 for
# signed_logp1 and signed_expm1 (the symlog and symexp of DreamerV3), signed_parabolic and power, and 0.001 for signed_hyperbolic.
#
# Guess: all are smooth and rise through 0: slopes of 1, 1, 0.501, 1 / 0.501 = 1.996 and, for the power 1/2, 1.
# Seen:  0, 0, 0.001, 0 and 0; at 1e-6 and -1e-6 they are right. A value head whose last layer begins with zeros, as is usual, gets no gradient
#        through them and stays at 0, and a pair of transforms that undo each other is not the identity for the chain rule.
#        The two functions of HYPERBOLIC_SIN_PAIR have 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "rlax==0.1.9"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax
import jax.numpy as jnp
import numpy as np
import rlax

transforms = {
    "signed_logp1": (rlax.signed_logp1, 1),
    "signed_expm1": (rlax.signed_expm1, 1),
    "signed_hyperbolic": (rlax.signed_hyperbolic, 0.501),
    "signed_parabolic": (rlax.signed_parabolic, 1 / 0.501),
    "power": (lambda x: rlax.power(x, 0.5), 1),
    "hyperbolic_sin": (rlax.HYPERBOLIC_SIN_PAIR.apply_inv, 1),
    "hyperbolic_arcsin": (rlax.HYPERBOLIC_SIN_PAIR.apply, 1),
}
found = {name: [float(jax.grad(function)(x)) for x in (-1e-6, 0.0, 1e-6)] for name, (function, _) in transforms.items()}


def loss(weights):
    return (rlax.signed_expm1(jnp.array([[1.0, 2.0], [0.5, -1.0]]) @ weights) - jnp.array([3.0, 1.0])).T @ jnp.ones(2)


head = jax.grad(loss)(jnp.zeros(2)).tolist()
print("rlax", importlib.metadata.version("rlax"), "slopes at -1e-6, 0 and 1e-6:", found, "a head of zeros:", head)
for name, (_, slope) in transforms.items():
    np.testing.assert_allclose(found[name][::2], slope, rtol=1e-2)
at_zero = [found[name][1] for name in transforms]
np.testing.assert_allclose(at_zero, [0, 0, 0.001, 0, 0, 1, 1], rtol=1e-5, err_msg="slopes at 0 have changed")
assert head == [0, 0], "slopes at 0 have changed"
END
