#!/usr/bin/env bash
# jax 0.10.2: at 0 the derivative of jax.scipy.special.i0 is 1, and the second derivatives of the modified Bessel functions are wrong, in
# each spelling in its own way.
#
# Guess: I0(x) = 1 + x**2 / 4 + ... has the derivatives 0 and 1/2 at 0, I1(x) = x / 2 + x**3 / 16 + ... has 1/2 and 0.
# Seen:  1 and 1.5 from special.i0, 0 and 0 from jnp.i0 (whose first is right), 1/2 and 1 from special.i1. At 0.001 all are right. A von
#        Mises concentration that begins at 0 is pushed on by the normaliser, which should be flat there.
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
from jax.scipy import special

functions = {"special.i0": special.i0, "jnp.i0": jnp.i0, "special.i1": special.i1}


def derivatives(f, x):
    return [float(jax.grad(f)(x)), float(jax.grad(jax.grad(f))(x))]


found = {name: derivatives(f, 0.0) for name, f in functions.items()}
beside = {name: derivatives(f, 1e-3) for name, f in functions.items()}
print("jax", jax.__version__, "first and second derivatives at 0:", found, "at 0.001:", beside)
for name, wanted in {"special.i0": [1, 1.5], "jnp.i0": [0, 0], "special.i1": [0.5, 1]}.items():
    np.testing.assert_allclose(found[name], wanted, atol=1e-5, err_msg=f"{name} has changed")
for name, wanted in {"special.i0": [0, 0.5], "jnp.i0": [0, 0.5], "special.i1": [0.5, 0]}.items():
    np.testing.assert_allclose(beside[name], wanted, atol=1e-3)
END
