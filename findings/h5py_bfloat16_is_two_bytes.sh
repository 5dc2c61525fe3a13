#!/usr/bin/env bash
# h5py 3.16.0 with ml_dtypes 0.6.0: bfloat16, float8_e4m3fn and int4 arrays, those of jax too, are written without an error as opaque bytes,
# and are read back as void, which no arithmetic takes; float8_e5m2 is refused.
#
# Guess: as float16: numbers that any HDF5 reader takes for numbers, or a TypeError for all four.
# Seen:  dtypes V2, V1 and V1, in np.save, too. The file does not say what they were: the same two bytes are 1.0 in bfloat16 and 1.875 in
#        float16. view(ml_dtypes.bfloat16) brings the numbers back, if the reader knows. A checkpoint loads, and the first operation fails.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "h5py==3.16.0" "ml_dtypes==0.6.0" "numpy==2.4.6"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import io

import h5py
import jax.numpy as jnp
import ml_dtypes
import numpy as np


def by_hdf5(array):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        written["x"] = array
    with h5py.File(file, "r") as read:
        return read["x"][()], dict(read["x"].attrs)


def by_numpy(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    return np.load(file)


numbers = np.array([1, 2, -3])
arrays = {dtype.__name__: numbers.astype(dtype) for dtype in (np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4)}
arrays["jax"] = jnp.array(numbers, jnp.bfloat16)
found = {name: by_hdf5(array) for name, array in arrays.items()}
saved = by_numpy(arrays["bfloat16"])
print("h5py", h5py.__version__, {name: array.dtype.str for name, (array, _) in found.items()}, "np.save", saved.dtype)
assert found["float16"][0].tolist() == [1, 2, -3]
assert found["bfloat16"][0].view(ml_dtypes.bfloat16).tolist() == [1, 2, -3]
assert float(found["bfloat16"][0].view(np.float16)[0]) == 1.875
kinds = {name: array.dtype.str for name, (array, _) in found.items() if name != "float16"}
assert kinds == {"bfloat16": "|V2", "float8_e4m3fn": "|V1", "int4": "|V1", "jax": "|V2"}, "what is read back has changed"
assert all(attributes == {} for _, attributes in found.values()) and saved.dtype.str == "|V2", "what is read back has changed"
try:
    by_hdf5(numbers.astype(ml_dtypes.float8_e5m2))
except TypeError:
    pass
else:
    raise AssertionError("float8_e5m2 has changed")
END
