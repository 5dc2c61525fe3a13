#!/usr/bin/env bash
# tinygp 0.3.1, gpjax 1.0.0, jax 0.10.2: the covariance of the slopes of a Gaussian process at a point, the mixed second derivative of its
# kernel, is wrong for Matern kernels: in gpjax it is 0, and in tinygp all directions have the same slope, although the distance is
# Euclidean.
#
# Guess: 3 times the identity for a Matern of order 3/2 in the plane, and 5/3 times for 5/2: slopes in x and y are independent.
# Seen:  a matrix of four zeros from gpjax, and of four times 3, or 5/3, from tinygp: both are right at a distance of 0.001, and for the
#        squared exponential. The square root at 0 is replaced by something with a slope of 0, or of 1 in each direction. Observed gradients
#        have no variance, or a singular one. Without distance=L2Distance(), tinygp's Matern kernels take |x| + |y| for the distance. The
#        first derivative of gpjax's ArcCosine in a point that meets itself is nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "tinygp==0.3.1" "gpjax==1.0.0" "flax==0.12.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import gpjax
import jax
import jax.numpy as jnp
import numpy as np
from tinygp import kernels

x = jnp.array([1.0, 2.0])
euclidean = kernels.L2Distance()
kernel = {
    ("tinygp", "3/2"): kernels.Matern32(distance=euclidean).evaluate,
    ("tinygp", "5/2"): kernels.Matern52(distance=euclidean).evaluate,
    ("tinygp", "squared exponential"): kernels.ExpSquared(distance=euclidean).evaluate,
    ("gpjax", "3/2"): gpjax.kernels.Matern32(),
    ("gpjax", "5/2"): gpjax.kernels.Matern52(),
    ("gpjax", "squared exponential"): gpjax.kernels.RBF(),
}


def slopes(function, y):
    return np.asarray(jax.jacfwd(jax.grad(lambda a, b: function(a, b)), 1)(x, y)).round(4)


found = {name: slopes(function, x) for name, function in kernel.items()}
near = {name: slopes(function, x + jnp.array([1e-3, 0.0])) for name, function in kernel.items()}
angular = jax.grad(lambda a: gpjax.kernels.ArcCosine()(a, x))(x)
corner = float(kernels.Matern32().evaluate(jnp.zeros(2), jnp.array([3.0, 4.0])))
print("tinygp", importlib.metadata.version("tinygp"), "gpjax", importlib.metadata.version("gpjax"), "jax", jax.__version__)
print({name: matrix.tolist() for name, matrix in found.items()}, "ArcCosine", angular, "at (3, 4)", corner)
right = {"3/2": 3 * np.eye(2), "5/2": 5 / 3 * np.eye(2), "squared exponential": np.eye(2)}
for (library, name), matrix in near.items():
    np.testing.assert_allclose(matrix, right[name], atol=0.02)
for library in ("tinygp", "gpjax"):
    np.testing.assert_array_equal(found[library, "squared exponential"], np.eye(2))
for name in ("3/2", "5/2"):
    np.testing.assert_allclose(found["tinygp", name], np.full((2, 2), right[name][0, 0]), rtol=1e-3, err_msg="tinygp has changed")
    assert not found["gpjax", name].any(), "gpjax has changed"
assert jnp.isnan(angular).all(), "ArcCosine has changed"
distance = 3**0.5 * 7
np.testing.assert_allclose(corner, (1 + distance) * np.exp(-distance), rtol=1e-3, err_msg="tinygp's default distance has changed")
END
