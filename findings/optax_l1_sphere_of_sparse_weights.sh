#!/usr/bin/env bash
# optax 0.2.8, jaxopt 0.8.5: projection_l1_sphere of weights that have zeros among them, and a norm below the radius, is not on the sphere: the
# magnitudes are projected onto the simplex, where a zero becomes positive, and then multiplied by the sign of the weights, which is 0 there.
#
# Guess: a projection onto the vectors whose magnitudes add up to 1 is one of them: for (0, 0.1, 0) the nearest are (0.3, 0.4, 0.3) and its
#        like with other signs.
# Seen:  (0, 0.4, 0) for (0, 0.1, 0), a norm of 0.4, and 0.875 for (0, 0.5, -0.25, 0); of zeros it is 0, the point farthest inside. The more
#        of the weights are 0, the farther off: 0.1 among 999 zeros has the norm 0.1009. A second projection goes further, but not there.
#        Without zeros, or from outside of the sphere, it is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8" "jaxopt==0.8.5"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax

points = {
    "without zeros": [0.2, -0.3, 0.1],
    "outside": [0.0, 5.0, 0.0],
    "one of three": [0.0, 0.1, 0.0],
    "two of four": [0.0, 0.5, -0.25, 0.0],
    "zeros": [0.0, 0.0],
    "one of 1000": [0.1] + [0.0] * 999,
}
wanted = {"without zeros": 1, "outside": 1, "one of three": 0.4, "two of four": 0.875, "zeros": 0, "one of 1000": 0.1009}
for library, project in {"optax": optax.projections.projection_l1_sphere, "jaxopt": jaxopt.projection.projection_l1_sphere}.items():
    norms = {name: float(jnp.abs(project(jnp.array(point))).sum()) for name, point in points.items()}
    twice = float(jnp.abs(project(project(jnp.array(points["one of three"])))).sum())
    print(library, "norms of projections onto the sphere of radius 1:", norms, "after two of them:", twice)
    np.testing.assert_allclose(list(norms.values()), list(wanted.values()), atol=1e-4, err_msg=f"projections of {library} have changed")
    np.testing.assert_allclose(twice, 0.6, atol=1e-4, err_msg=f"the second projection of {library} has changed")
END
