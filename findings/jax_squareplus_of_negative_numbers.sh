#!/usr/bin/env bash
# jax 0.10.2: in float32 jax.nn.squareplus, (x + sqrt(x**2 + b)) / 2, is 0 far below 0, from about -6000 on: two numbers that are equal but
# for the sign are added. It is inf from 2e19 on, as the square is.
#
# Guess: a smooth ReLU that is positive everywhere, about b / (4 |x|) far below 0: 0.001 at -1000, 1e-4 at -1e4 and 1e-6 at -1e6; x for large x.
# Seen:  0.001007, 0 and 0, and inf at 2e19. It jumps between 0 and 4.9e-4 from -5793 to -12055. In bfloat16 it is 0.0625 at -20 for 0.0499 and
#        0 at -50, where softplus has 2e-9 and 2e-22. A scale or a variance that is made positive by it is 0, its logarithm -inf.
#        b / 2 / (sqrt(x**2 + b) - x) is the same number, and right: 1e-4 at -1e4.
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

points = jnp.array([-10.0, -1e3, -1e4, -1e6, 1e19, 2e19])
found = {
    "squareplus": jax.nn.squareplus(points),
    "compiled": jax.jit(jax.nn.squareplus)(points),
    "quotient": 2 / (jnp.sqrt(points[:4] ** 2 + 4) - points[:4]),
    "bfloat16": jax.nn.squareplus(jnp.array([-10.0, -20, -50], jnp.bfloat16)),
    "softplus": jax.nn.softplus(jnp.array([-20.0, -50], jnp.bfloat16)),
}
found = {name: np.asarray(values, np.float64) for name, values in found.items()}
print("jax", jax.__version__, {name: values.tolist() for name, values in found.items()})
np.testing.assert_allclose(found["quotient"], [0.09902, 1e-3, 1e-4, 1e-6], rtol=1e-4)
np.testing.assert_allclose(found["softplus"], [2.06e-9, 1.93e-22], rtol=1e-2)
for name in ("squareplus", "compiled"):
    np.testing.assert_allclose(found[name], [0.09902, 0.001007, 0, 0, 1e19, np.inf], rtol=1e-4, err_msg="squareplus has changed")
np.testing.assert_allclose(found["bfloat16"], [0.09375, 0.0625, 0], err_msg="squareplus of bfloat16 has changed")
END
