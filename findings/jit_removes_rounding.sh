#!/usr/bin/env bash
# jax 0.10.2 on CPUs: under jit XLA folds (x + c) - c to x when c is a constant of the program, in float32 and without a fast-math flag.
# Rounding to whole numbers by a large constant, in straight-through quantisation and in ports of C code, is silently not done.
#
# Guess: with c = 1.5 * 2**23, (x + c) - c is x rounded to a whole number, compiled or not: addition of floats is not associative.
# Seen:  [0, 2, 2, -4] without jit and [0.4, 1.6, 2.5, -3.7] under jit. With c as an argument of the function it rounds. In the same way
#        (1 + x) - 1 is x for x = 1e-9, so the search for the machine's epsilon by halving finds none, and log(exp(100)) is 100, not inf.
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

big, x = 1.5 * 2**23, jnp.array([0.4, 1.6, 2.5, -3.7])
cases = {
    "constant": (lambda x: (x + big) - big, (x,)),
    "argument": (lambda x, c: (x + c) - c, (x, jnp.float32(big))),
    "(1 + x) - 1": (lambda x: (1 + x) - 1, (jnp.float32(1e-9),)),
    "log(exp(x))": (lambda x: jnp.log(jnp.exp(x)), (jnp.float32(100),)),
}
found = {}
for name, (function, given) in cases.items():
    with jax.disable_jit():
        plain = function(*given)
    found[name] = (np.asarray(plain), np.asarray(jax.jit(function)(*given)))
print("jax", jax.__version__, "without jit, with jit:", {name: [v.tolist() for v in pair] for name, pair in found.items()})
rounded = [0, 2, 2, -4]
wanted = {"constant": (rounded, x), "argument": (rounded, rounded), "(1 + x) - 1": (0, 1e-9), "log(exp(x))": (np.inf, 100)}
for name, pair in wanted.items():
    for got, value in zip(found[name], pair, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-6, err_msg=f"{name} has changed")
END
