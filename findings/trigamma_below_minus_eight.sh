#!/usr/bin/env bash
# jax 0.10.2: the derivative of jax.scipy.special.digamma, and with it polygamma(1, x) and the second derivative of gammaln, is wrong below
# -8. It is taken as a zeta function whose recurrence is only ten steps long and ends before the positive numbers.
#
# Guess: between its poles the trigamma function is about 10 to 100 for negative numbers: 9.77 at -9.5, 15.0 at -10.3 and 9.85 at -50.5.
# Seen:  -2.9e12, 1e18 and -0.0196; a trigamma below 0 cannot be. At -8.5 it is 6.79 for 9.76, at -7.5 right. Digamma and gammaln themselves
#        are right everywhere.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "scipy==1.17.1"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.scipy import special

points = [-2.5, -7.5, -8.5, -9.5, -10.3, -50.5]
forms = {
    "grad(digamma)": jax.grad(special.digamma),
    "polygamma(1)": lambda x: special.polygamma(1, x),
    "grad(grad(gammaln))": jax.grad(jax.grad(special.gammaln)),
}
found = {name: [float(form(jnp.float32(x))) for x in points] for name, form in forms.items()}
right = [float(np.pi**2 / np.sin(np.pi * x) ** 2 - scipy.special.polygamma(1, 1 - x)) for x in points]
print("jax", jax.__version__, "at", points, found, "by reflection", right)
for values in found.values():
    np.testing.assert_allclose(values[:2], right[:2], rtol=1e-4)
    assert abs(values[2] - 6.79) < 0.2 and values[3] < -1e9 and values[4] > 1e9 and -0.03 < values[5] < 0, "trigamma has changed"
END
