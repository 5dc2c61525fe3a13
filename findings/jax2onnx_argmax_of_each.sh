#!/usr/bin/env bash
# jax2onnx 0.17.1: jax.vmap(lambda x: jnp.argmax(x, axis=-1)) of a matrix becomes an ArgMax over the other axis, without an error. The model
# of a (4, 5) input gives 5 numbers for 4; of a square one the right number of wrong ones. With axis=0, or without an axis, it is right.
#
# Guess: the axis counts from the end of what one example is, so that the model has an index per row, as jax does.
# Seen:  an index per column. Other reductions (sum, max, any) of the last axis of each example are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "jax2onnx==0.17.1" "onnxruntime==1.32.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax
import jax.numpy as jnp
import jax2onnx
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.log_severity_level = 3


def by_onnx(function, array):
    model = jax2onnx.to_onnx(function, inputs=[jax.ShapeDtypeStruct(array.shape, array.dtype)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})[0]


rows = np.array([[1, 5, 2], [0, 3, 1], [9, 1, 0]], np.float32)
cases = {
    "argmax, axis=-1": lambda x: jnp.argmax(x, axis=-1),
    "argmax, axis=0": lambda x: jnp.argmax(x, axis=0),
    "argmax": lambda x: jnp.argmax(x),
    "max, axis=-1": lambda x: jnp.max(x, axis=-1),
    "sum, axis=-1": lambda x: jnp.sum(x, axis=-1),
}
wide, found = np.concatenate([rows, rows[:, :2]], axis=1), {}
for name, function in cases.items():
    each, wanted = jax.vmap(function), jax.jit(jax.vmap(function))(rows)
    found[name] = (by_onnx(each, rows).tolist() == wanted.tolist(), by_onnx(each, wide).shape)
print("jax2onnx", importlib.metadata.version("jax2onnx"), found)
assert found == {name: (name != "argmax, axis=-1", (5,) if name == "argmax, axis=-1" else (3,)) for name in cases}, "jax2onnx has changed"
END
