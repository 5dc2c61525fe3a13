#!/usr/bin/env bash
# jax 0.10.2 on CPUs, XLA_FLAGS=--xla_backend_optimization_level=0: the gradient of a maximum of a product of matrices is NaN under jit.
#
# Guess: a flag for faster compilation changes no number but by rounding.
# Seen:  NaN, where the same program without jit, or without the flag, is right to six digits. The derivative of `jnp.max` looks for the
#        places where x equals its maximum; the two products are compiled apart, round differently, and no place is found: 0 / 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" numpy
cd "$work"
cat > found.py <<'END'
import jax
import jax.numpy as jnp
import numpy as np


def loss(sets):
    def of_one(u):
        cosines = (u.reshape(-1, 3) @ jnp.sum(u, axis=1).T).reshape(3, 4, 3)
        return jnp.sum(jnp.tanh(jnp.max(10 * cosines - 5, axis=-1)))

    return jnp.sum(jax.vmap(of_one)(sets))


sets = np.random.default_rng(0).normal(size=(5, 3, 4, 3)).astype(np.float32)
compiled, one_by_one = jax.jit(jax.grad(loss))(sets), jax.grad(loss)(sets)
print("jax", jax.__version__, "largest difference:", float(jnp.max(jnp.abs(compiled - one_by_one))), "of", float(jnp.max(jnp.abs(one_by_one))))
END
export JAX_PLATFORMS=cpu
XLA_FLAGS="" "$work/env/bin/python" found.py | tee with.txt
XLA_FLAGS="--xla_backend_optimization_level=0" "$work/env/bin/python" found.py | tee without.txt
grep -q "difference: [0-9.]*e-0[5-9] of 3.44" with.txt || { echo "with optimisation it has changed"; exit 1; }
grep -q "difference: nan of 3.44" without.txt || { echo "without optimisation it has changed"; exit 1; }
