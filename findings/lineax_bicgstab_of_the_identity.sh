#!/usr/bin/env bash
# lineax 0.1.1, jax 0.10.2: BiCGStab fails where it has the solution at once: for the identity, its multiples, and a right-hand side of 0.
# After the residual has become 0 a quotient of two zeros follows.
#
# Guess: the solution of I x = (1, 2) is (1, 2) after one step and that of I x = 0 is 0, as from CG, GMRES and
#        jax.scipy.sparse.linalg.bicgstab.
# Seen:  (nan, nan) and an error, "returned non-finite (NaN or inf) output", for I, 2 I and 0. A gradient of 0 that goes through an implicit
#        derivative is such a right-hand side.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "lineax==0.1.1" "equinox==0.13.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import lineax
import numpy as np
from jax.scipy.sparse.linalg import bicgstab

right, zero = jnp.array([1.0, 2.0]), jnp.zeros(2)


def solved(solver, scale, side):
    operator = lineax.MatrixLinearOperator(scale * jnp.eye(2), lineax.positive_semidefinite_tag)
    solution = lineax.linear_solve(operator, side, solver(1e-6, 1e-6), throw=False)
    return solution.value.tolist(), bool(solution.result == lineax.RESULTS.successful)


cases = {"I": (1.0, right), "2 I": (2.0, right), "0": (1.0, zero)}
solvers = (lineax.CG, lineax.GMRES, lineax.BiCGStab)
found = {solver.__name__: {name: solved(solver, *case) for name, case in cases.items()} for solver in solvers}
print("lineax", lineax.__version__, "jax", jax.__version__, found)
for name in ("CG", "GMRES"):
    assert found[name] == {"I": ([1, 2], True), "2 I": ([0.5, 1], True), "0": ([0, 0], True)}
np.testing.assert_allclose(bicgstab(jnp.eye(2), right)[0], right)
for values, successful in found["BiCGStab"].values():
    assert np.isnan(values).all() and not successful, "BiCGStab has changed"
END
