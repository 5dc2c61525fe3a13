#!/usr/bin/env bash
# flax 0.12.8: flax.serialization writes an array in the other byte order as it is, but only the name of its type, which does not say the
# order: it is read back with its bytes turned round, without an error.
#
# Guess: 0, 1 and 2 as big-endian integers, as they come from IDX, FITS and netCDF files and from a network, come back as 0, 1 and 2.
# Seen:  0, 16777216 and 33554432; as floats 0, 4.6e-41 and 9e-44, which look like zeros. from_bytes and msgpack_restore have the same. A
#        single number, a scalar of NumPy, is right, and so is an array after astype(np.int32).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "flax==0.12.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import flax
import jax.numpy as jnp
import numpy as np
from flax import serialization

state = {"count": np.array([0, 1, 2], ">i4"), "mean": np.array([0, 1, 2], ">f4"), "seed": np.array(5, ">i4")[()]}
there = serialization.msgpack_restore(serialization.msgpack_serialize(dict(state)))
again = serialization.from_bytes(state, serialization.to_bytes(state))
native = serialization.msgpack_restore(serialization.msgpack_serialize({"count": jnp.asarray(state["count"].astype(np.int32))}))
print("flax", flax.__version__, state, "restored", there)
assert native["count"].tolist() == [0, 1, 2] and int(there["seed"]) == 5
for name, array in state.items():
    if name != "seed":
        turned = array.view(array.dtype.newbyteorder("<")).tolist()
        assert turned != array.tolist()
        assert there[name].tolist() == again[name].tolist() == turned, "the byte order has changed"
END
