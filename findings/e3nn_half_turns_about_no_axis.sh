#!/usr/bin/env bash
# e3nn-jax 0.21.0, jax 0.10.2: the axis of an exact half turn is the zero vector, and its quaternion is 0, not a unit one. Small angles are
# 0, too.
#
# Guess: matrix_to_quaternion of diag(1, -1, -1) is (0, 1, 0, 0) or its negative, and gives the matrix back; the angle of a turn by 0.0001
#        is 0.0001.
# Seen:  (-4e-8, 0, 0, 0), which quaternion_to_matrix makes a half turn about another axis, z, and of the half turn that exchanges x and y,
#        too: symmetry operations of crystals and molecules are such matrices. matrix_to_axis_angle has the axis (0, 0, 0). matrix_to_angles
#        is right. The angle is 0.01001 for 0.01 and 0 for 0.0001: it is an arccos of the trace, near 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "e3nn-jax==0.21.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np

turns = {"about x": jnp.diag(jnp.array([1.0, -1, -1])), "x to y": jnp.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])}
for name, turn in turns.items():
    quaternion, (axis, angle) = e3nn_jax.matrix_to_quaternion(turn), e3nn_jax.matrix_to_axis_angle(turn)
    back = e3nn_jax.quaternion_to_matrix(quaternion)
    by_angles = e3nn_jax.angles_to_matrix(*e3nn_jax.matrix_to_angles(turn))
    print("e3nn-jax 0.21.0, jax", jax.__version__, name, quaternion.tolist(), axis.tolist(), float(angle), np.round(back, 3).tolist())
    np.testing.assert_allclose(by_angles, turn, atol=1e-5)
    np.testing.assert_allclose(angle, np.pi, rtol=1e-6)
    assert jnp.linalg.norm(axis) < 1e-3 and jnp.linalg.norm(quaternion) < 1e-3, "half turns have changed"
    np.testing.assert_allclose(back, np.diag([-1, -1, 1]), atol=1e-3)
z = jnp.array([0.0, 0, 1])
angles = [float(e3nn_jax.matrix_to_axis_angle(e3nn_jax.axis_angle_to_matrix(z, jnp.float32(angle)))[1]) for angle in (0.1, 0.01, 0.0001)]
print("angles of 0.1, 0.01, 0.0001:", angles)
np.testing.assert_allclose(angles[0], 0.1, rtol=1e-4)
assert abs(angles[1] - 0.01) > 3e-6 and angles[2] == 0, "small angles have changed"
END
