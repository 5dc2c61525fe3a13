#!/usr/bin/env bash
# dm_pix 0.4.5, jax 0.10.2: the gradient of affine_transform in its matrix and offset, and of rotate in its angle, is 0 where the transform
# is the identity: flat_nd_linear_interpolate weighs floor and ceil of a coordinate, which are one pixel where it is a whole number.
#
# Guess: as of jax.scipy.ndimage.map_coordinates at whole numbers, a difference to a neighbour: about 1080 for the sum of the inner pixels
#        of a 5 x 5 image of squares, moved down.
# Seen:  0 in offset, matrix and angle at the identity, 1305 at an offset of 0.001. A registration that begins where everybody begins, with
#        no motion, never moves.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "dm_pix==0.4.5"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

image = jnp.arange(25.0).reshape(5, 5, 1) ** 2


def moved(offset, matrix=jnp.eye(3)):
    return dm_pix.affine_transform(image, matrix, offset=offset)[1:4, 1:4].sum()


def by_coordinates(shift):
    rows, columns = jnp.meshgrid(jnp.arange(1.0, 4), jnp.arange(1.0, 4), indexing="ij")
    return map_coordinates(image[..., 0], [rows + shift, columns], order=1).sum()


none, down = jnp.zeros(3), jnp.array([1.0, 0, 0])
found = {
    "offset": float(jnp.abs(jax.grad(moved)(none)).max()),
    "matrix": float(jnp.abs(jax.grad(moved, 1)(none, jnp.eye(3))).max()),
    "angle": float(jax.grad(lambda angle: (dm_pix.rotate(image, angle) * image).sum())(0.0)),
    "offset at 0.001": float(jax.grad(moved)(0.001 * down)[0]),
    "difference quotient": float((moved(0.01 * down) - moved(-0.01 * down)) / 0.02),
    "map_coordinates": float(jax.grad(by_coordinates)(0.0)),
}
print("dm_pix 0.4.5, jax", jax.__version__, found)
np.testing.assert_allclose([found["offset at 0.001"], found["difference quotient"]], [1305, 1080], rtol=1e-3)
assert found["map_coordinates"] > 800
assert found["offset"] == found["matrix"] == found["angle"] == 0, "dm_pix has changed"
END
