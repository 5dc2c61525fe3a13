#!/usr/bin/env bash
# jax 0.10.2: the gradient of jnp.vander at 0 is nan: it raises to an array of exponents that are floating numbers, and the derivative of
# x**0.0 at 0 is nan. The second derivative with whole exponents is nan, too.
#
# Guess: 1 + x + x**2 has the derivative 1 at 0 and the second derivative 2, as by jnp.polyval, and as at every other point.
# Seen:  nan from jnp.vander and from x ** jnp.arange(3.0); 1 from x ** jnp.arange(3), whose second derivative is nan again. At 1e-6 all are
#        1 and 2. A polynomial regression, or a basis of powers of a learned coordinate, is nan for the one point at 0, where standardised
#        or symmetric coordinates have their middle.
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

ways = {
    "vander": lambda x: jnp.vander(jnp.stack([x]), 3).sum(),
    "floating exponents": lambda x: (x ** jnp.arange(3.0)).sum(),
    "whole exponents": lambda x: (x ** jnp.arange(3)).sum(),
    "polyval": lambda x: jnp.polyval(jnp.ones(3), x),
}
found = {
    name: [[float(slope(x)) for slope in (jax.grad(way), jax.grad(jax.grad(way)))] for x in (0.0, 1e-6)] for name, way in ways.items()
}
print("jax", jax.__version__, "first and second derivatives at 0 and 1e-6:", found)
for name, (_, beside) in found.items():
    np.testing.assert_allclose(beside, [1, 2], rtol=1e-4, err_msg=name)
assert found["polyval"][0] == [1, 2] and found["whole exponents"][0][0] == 1
assert all(np.isnan(found[name][0]).all() for name in ("vander", "floating exponents")), "floating exponents have changed"
assert np.isnan(found["whole exponents"][0][1]), "whole exponents have changed"
END
