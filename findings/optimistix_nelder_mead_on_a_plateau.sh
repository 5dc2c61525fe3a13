#!/usr/bin/env bash
# optimistix 0.1.0, jax 0.10.2: NelderMead does not converge where the loss is flat: it takes all the steps that it may, or goes on until
# the simplex is as large as float32 allows.
#
# Guess: a simplex whose corners all have the least value there is has converged: a few steps, as BFGS takes 2.
# Seen:  from the minimum of a hinge loss, where it is 0 all around, "The maximum number of steps was reached" after 2000 of them, an error
#        unless throw=False; on a constant the corners walk to 1e37 and "Nonlinear solve diverged". It wants the corners close together, and
#        on a plateau it reflects them and never shrinks. Losses with a margin, and counts of errors, for which one takes a method without
#        derivatives, are such.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "optimistix==0.1.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax
import jax.numpy as jnp
import optimistix

losses = {
    "bowl": lambda y, _: jnp.sum((y - 1) ** 2),
    "hinge": lambda y, _: jnp.sum(jnp.maximum(1 - y, 0)),
    "constant": lambda y, _: 0 * jnp.sum(y) + 3,
}


def ends(name, method):
    found = optimistix.minimise(losses[name], method(1e-6, 1e-6), jnp.full(2, 2.0), max_steps=2000, throw=False)
    return int(found.stats["num_steps"]), found.result == optimistix.RESULTS.successful, float(jnp.abs(found.value).max())


found = {name: {method.__name__: ends(name, method) for method in (optimistix.NelderMead, optimistix.BFGS)} for name in losses}
print("optimistix", importlib.metadata.version("optimistix"), "jax", jax.__version__, "steps, success, largest number:", found)
assert all(found[name]["BFGS"][0] <= 5 and found[name]["BFGS"][1] for name in losses) and found["bowl"]["NelderMead"][1]
assert found["hinge"]["NelderMead"][:2] == (2000, False), "NelderMead has changed"
assert not found["constant"]["NelderMead"][1] and found["constant"]["NelderMead"][2] > 1e30, "NelderMead has changed"
END
