#!/usr/bin/env bash
# jax 0.10.2 on CPUs: under jit XLA rewrites a / (b / c) to (a * c) / b, and (a / b) / c to a / (b * c), in every floating dtype and without
# a fast-math flag, so that a compiled quotient of quotients overflows where each step of the program as written is in range.
#
# Guess: in float16, 300 / (300 / 300) is 300, compiled or not: a compiler that must not assume real arithmetic keeps the order of divisions.
# Seen:  300 without jit, inf under jit (300 * 300 is over 65504). In float32 1e-30 / 1e-20 / 1e-20 is 1e10 and inf, and
#        (2e20 / 3e20) / (5e20 / 7e20) is 0.9333 and nan. A lax.optimization_barrier around the inner quotient keeps it.
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

cases = {
    "a / (b / c)": (lambda a, b, c: a / (b / c), jnp.float16, (300, 300, 300)),
    "(a / b) / c": (lambda a, b, c: (a / b) / c, jnp.float32, (1e-30, 1e-20, 1e-20)),
    "(a / b) / (c / d)": (lambda a, b, c, d: (a / b) / (c / d), jnp.float32, (2e20, 3e20, 5e20, 7e20)),
    "a / barrier(b / c)": (lambda a, b, c: a / jax.lax.optimization_barrier(b / c), jnp.float16, (300, 300, 300)),
}
found = {}
for name, (quotient, dtype, numbers) in cases.items():
    numbers = [dtype(number) for number in numbers]
    with jax.disable_jit():
        plain = quotient(*numbers)
    found[name] = (float(plain), float(jax.jit(quotient)(*numbers)))
print("jax", jax.__version__, "without jit, with jit:", found)
wanted = {"a / (b / c)": (300, np.inf), "(a / b) / c": (1e10, np.inf), "(a / b) / (c / d)": (2.8 / 3, np.nan), "a / barrier(b / c)": (300, 300)}
assert found.keys() == wanted.keys()
for name, pair in wanted.items():
    np.testing.assert_allclose(found[name], pair, rtol=1e-4, err_msg=f"{name} has changed")
END
