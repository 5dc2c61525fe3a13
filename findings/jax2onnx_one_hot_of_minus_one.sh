#!/usr/bin/env bash
# jax2onnx 0.17.1: jax.nn.one_hot becomes ONNX's OneHot, which counts negative classes from the end. The row of zeros of a label of -1,
# that is, of padding, becomes the row of the last class.
#
# Guess: the model has a row of zeros for -1, as jax has, and a loss of 0.
# Seen:  [0, 0, 1] for -1 of three classes, [0, 1, 0] for -2; 3, which is out of range, too, is a row of zeros in both. optax's cross entropy
#        of such a row of targets is 0 in jax and 0.4076 in the model. labels[:, None] == jnp.arange(classes) is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8" "jax2onnx==0.17.1" "onnxruntime==1.32.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax
import jax.numpy as jnp
import jax2onnx
import numpy as np
import onnxruntime
import optax


def by_onnx(function, *arrays):
    model = jax2onnx.to_onnx(function, inputs=[jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {given.name: array for given, array in zip(session.get_inputs(), arrays)})[0]


def loss(logits, labels):
    return optax.softmax_cross_entropy(logits, jax.nn.one_hot(labels, 3))


labels, logits = np.array([0, -1, -2, 3], np.int32), np.tile(np.array([1, 2, 3], np.float32), (4, 1))
rows = {
    "jax": jax.nn.one_hot(labels, 3).tolist(),
    "jax2onnx": by_onnx(lambda labels: jax.nn.one_hot(labels, 3), labels).tolist(),
    "by ==": by_onnx(lambda labels: (labels[:, None] == jnp.arange(3)).astype(jnp.float32), labels).tolist(),
}
losses = [jax.jit(loss)(logits, labels), by_onnx(loss, logits, labels)]
print("jax2onnx", importlib.metadata.version("jax2onnx"), rows, [found.tolist() for found in losses])
assert rows["jax"] == rows["by =="] == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
assert rows["jax2onnx"] == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]], "jax2onnx has changed"
np.testing.assert_allclose(losses, [[2.4076, 0, 0, 0], [2.4076, 0.4076, 1.4076, 0]], atol=1e-4, err_msg="jax2onnx has changed")
END
