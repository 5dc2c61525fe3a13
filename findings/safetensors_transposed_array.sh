#!/usr/bin/env bash
# safetensors 0.8.0, NumPy: a transposed or Fortran-ordered array is saved as it lies in memory under the shape that it shows, so another
# array is loaded, without an error. (torch's side of the package refuses such tensors.)
#
# Guess: safetensors.numpy.save, as np.save and tobytes, writes the elements in the order of the array.
# Seen:  [[0, 3], [1, 4], [2, 5]], the transpose of a (2, 3) array, is loaded as [[0, 1], [2, 3], [4, 5]]. np.ascontiguousarray cures it.
#        A kernel of weights that was converted from torch by .T is scrambled in this way. A jax array, transposed, is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "safetensors==0.8.0" "numpy==2.4.6" "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.flax
import safetensors.numpy

x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
cases = {"transposed": x.T, "Fortran": np.asfortranarray(x), "contiguous": np.ascontiguousarray(x.T)}
found = {name: safetensors.numpy.load(safetensors.numpy.save({"a": array}))["a"].tolist() for name, array in cases.items()}
found["jax"] = safetensors.flax.load(safetensors.flax.save({"a": jnp.asarray(x).T}))["a"].tolist()
print("safetensors", safetensors.__version__, found)
assert found["contiguous"] == found["jax"] == x.T.tolist()
assert found["transposed"] == [[0, 1], [2, 3], [4, 5]] and found["Fortran"] == [[0, 3, 1], [4, 2, 5]], "safetensors has changed"
END
