#!/usr/bin/env bash
# jax 0.10.2: jax.scipy.spatial.transform.Rotation has no derivative at the identity: that of from_rotvec at 0 is nan, and so is that of
# as_rotvec and magnitude. There is a series for small angles, chosen by a where, but the angle itself is a square root, whose slope at 0 is
# inf.
#
# Guess: rotating (1, 0, 0) by a small vector v adds v x (1, 0, 0): the derivative is a matrix of 0, 1 and -1; that of as_rotvec after
#        from_rotvec is the identity.
# Seen:  nine times nan for both; at a vector of 0.0001 both are right. from_quat with as_euler is right at the identity. A pose that is
#        fitted from where everybody begins, with no rotation, is nan after one step.
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
from jax.scipy.spatial.transform import Rotation

along = jnp.array([1.0, 0, 0])
rotate = jax.jacobian(lambda vector: Rotation.from_rotvec(vector).apply(along))
there_and_back = jax.jacobian(lambda vector: Rotation.from_rotvec(vector).as_rotvec())
none, little = jnp.zeros(3), jnp.array([1e-4, 0, 0])
identity = jnp.array([0.0, 0, 0, 1])
found = {
    "rotate": [np.asarray(rotate(vector)) for vector in (none, little)],
    "there and back": [np.asarray(there_and_back(vector)) for vector in (none, little)],
    "vector of a quaternion": np.asarray(jax.jacobian(lambda quaternion: Rotation.from_quat(quaternion).as_rotvec())(identity)),
    "angle of a quaternion": np.asarray(jax.grad(lambda quaternion: Rotation.from_quat(quaternion).magnitude())(identity)),
    "euler": np.asarray(jax.jacobian(lambda quaternion: Rotation.from_quat(quaternion).as_euler("xyz"))(identity)),
}
print("jax", jax.__version__, jax.tree.map(np.ndarray.tolist, found))
np.testing.assert_allclose(Rotation.from_rotvec(none).apply(along), along)
np.testing.assert_allclose(found["rotate"][1], [[0, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-3)
np.testing.assert_allclose(found["there and back"][1], np.eye(3), atol=1e-3)
np.testing.assert_allclose(found["euler"], 2 * np.eye(3, 4), atol=1e-3)
for name in ("rotate", "there and back"):
    assert np.isnan(found[name][0]).all(), "the derivative at the identity has changed"
assert np.isnan(found["vector of a quaternion"]).all() and np.isnan(found["angle of a quaternion"]).all(), "quaternions have changed"
END
