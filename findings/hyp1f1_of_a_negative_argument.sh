#!/usr/bin/env bash
# jax 0.10.2: in float32 jax.scipy.special.hyp1f1, the confluent hypergeometric function, loses its digits for arguments below -10 and has
# none at -30. Its power series is summed as it stands, and its terms of changing sign are as large as exp(30).
#
# Guess: M(1, 2, z) = (exp(z) - 1) / z, which is 0.05 at -20 and 0.0333 at -30.
# Seen:  0.0489 and 2813; 0.0676 for 0.0667 at -15. M(10, 1, -20), which is 4.5e-6, is about -1.5e8. Kummer's transformation, M(a, b, z) =
#        exp(z) M(b - a, b, -z), of the same function is right: 0.0333. Moments of a normal's magnitude take negative arguments.
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
from jax.scipy.special import hyp1f1

cases = [(1, 2, -5), (1, 2, -15), (1, 2, -20), (1, 2, -30), (10, 1, -20)]
found = [float(hyp1f1(*map(jnp.float32, case))) for case in cases]
right = [float(scipy.special.hyp1f1(*case)) for case in cases]
turned = float(jnp.exp(-30.0) * hyp1f1(jnp.float32(1), jnp.float32(2), jnp.float32(30)))
print("jax", jax.__version__, dict(zip(cases, zip(found, right))), "turned round", turned)
np.testing.assert_allclose([found[0], turned], [right[0], right[3]], rtol=1e-4)
np.testing.assert_allclose(found[1], 0.0676, atol=5e-4)
assert abs(found[3] / right[3]) > 1e4 and abs(found[4] / right[4]) > 1e10, "hyp1f1 has changed"
END
